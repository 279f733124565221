//! Sums over several GPUs by NCCL, in a stream beside the GPU's own.
//!
//! The library is opened here: `cudarc` does not try its soname, the only name that the wheel and the
//! distributions' run-time packages install.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;
use std::string::String;
use std::sync::OnceLock;

use cudarc::driver::result;
use cudarc::driver::sys;
use cudarc::nccl::sys as nccl;

use super::fault::call;
use crate::cuda::driver::{DriverCommunicator, UniqueId};
use crate::cuda::error::CudaError;

/// File names of the library: its soname, then the link that development packages add.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];

/// Declares the table of the functions in use.
macro_rules! functions {
    ($($field:ident: $name:literal ($($argument:ty),*) -> $out:ty;)*) => {
        /// The library's functions.
        struct NcclLibrary {
            $($field: unsafe extern "C" fn($($argument),*) -> $out,)*
        }

        impl NcclLibrary {
            /// The functions of an open library; none if it lacks one.
            fn of(library: &libloading::Library) -> Option<Self> {
                // SAFETY: the types are those of the library's header.
                unsafe { Some(Self { $($field: *library.get($name).ok()?,)* }) }
            }
        }
    };
}

functions! {
    get_unique_id: c"ncclGetUniqueId"(*mut nccl::ncclUniqueId) -> nccl::ncclResult_t;
    comm_init_rank: c"ncclCommInitRank"(*mut nccl::ncclComm_t, c_int, nccl::ncclUniqueId, c_int) -> nccl::ncclResult_t;
    all_reduce: c"ncclAllReduce"(*const c_void, *mut c_void, usize, nccl::ncclDataType_t, nccl::ncclRedOp_t, nccl::ncclComm_t, sys::CUstream) -> nccl::ncclResult_t;
    comm_get_async_error: c"ncclCommGetAsyncError"(nccl::ncclComm_t, *mut nccl::ncclResult_t) -> nccl::ncclResult_t;
    comm_destroy: c"ncclCommDestroy"(nccl::ncclComm_t) -> nccl::ncclResult_t;
    comm_abort: c"ncclCommAbort"(nccl::ncclComm_t) -> nccl::ncclResult_t;
    get_error_string: c"ncclGetErrorString"(nccl::ncclResult_t) -> *const c_char;
}

/// The library, opened once for the process and never closed.
fn library() -> Option<&'static NcclLibrary> {
    static LIBRARY: OnceLock<Option<(libloading::Library, NcclLibrary)>> = OnceLock::new();
    let open = || {
        NAMES.iter().find_map(|name| {
            // SAFETY: the library's initialization has no conditions.
            let library = unsafe { libloading::Library::new(*name) }.ok()?;
            let functions = NcclLibrary::of(&library)?;
            Some((library, functions))
        })
    };
    LIBRARY.get_or_init(open).as_ref().map(|(_, functions)| functions)
}

/// Whether the library is on this machine.
pub(crate) fn is_present() -> bool {
    library().is_some()
}

/// A new group's identity, made by one of its members.
pub(crate) fn unique_id() -> Result<UniqueId, CudaError> {
    let library = library().ok_or(CudaError::NoNccl)?;
    let mut unique_id = nccl::ncclUniqueId { internal: [0; 128] };
    // SAFETY: the place is ours.
    check(library, "naming a group of GPUs", unsafe { (library.get_unique_id)(&mut unique_id) })?;
    Ok(unique_id.internal.map(|byte| byte as u8))
}

/// A member of a group.
pub(super) struct Member {
    library: &'static NcclLibrary,
    communicator: nccl::ncclComm_t,
    context: sys::CUcontext,
    /// The GPU's.
    of_gpu: sys::CUstream,
    /// That of the sums.
    stream: sys::CUstream,
    /// Passed in the GPU's stream before a sum begins.
    before: sys::CUevent,
    /// Passed in the sums' stream after the last one.
    after: sys::CUevent,
}

// SAFETY: the communicator and the stream may be used from any thread that has made the context its own,
// one at a time, which `&mut` sees to.
unsafe impl Send for Member {}

impl Member {
    /// Joins `size` members; returns when all have.
    pub(super) fn join(
        context: sys::CUcontext,
        of_gpu: sys::CUstream,
        unique_id: &UniqueId,
        rank: usize,
        size: usize,
    ) -> Result<Self, CudaError> {
        let library = library().ok_or(CudaError::NoNccl)?;
        let unique_id = nccl::ncclUniqueId { internal: unique_id.map(|byte| byte as c_char) };
        let making = "making a stream";
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(call(making))?;
        let event = || result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING);
        let (before, after) = (event().map_err(call(making))?, event().map_err(call(making))?);
        let mut communicator = ptr::null_mut();
        let (rank, size) = (rank as c_int, size as c_int);
        // SAFETY: the GPU's context is this thread's, the place is ours.
        let joined = unsafe { (library.comm_init_rank)(&mut communicator, size, unique_id, rank) };
        check(library, "joining a group of GPUs", joined)?;
        Ok(Self { library, communicator, context, of_gpu, stream, before, after })
    }

    /// Lets the stream `later` wait for the commands in `earlier` so far.
    fn order(
        &self,
        earlier: sys::CUstream,
        event: sys::CUevent,
        later: sys::CUstream,
    ) -> Result<(), CudaError> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: streams and event live as long as this value or longer. A wait is for the event's work at
        // the time of the call: the event may be used again at once.
        unsafe {
            result::event::record(event, earlier)
                .and_then(|()| result::stream::wait_event(later, event, flags))
        }
        .map_err(call("adding up over GPUs"))
    }

    fn enter(&self) -> Result<(), CudaError> {
        // SAFETY: the context is retained as long as the GPU, which outlives its membership.
        unsafe { result::ctx::set_current(self.context) }.map_err(call("using the GPU"))
    }
}

impl DriverCommunicator for Member {
    unsafe fn begin_sum(&mut self, address: u64, floats: usize) -> Result<(), CudaError> {
        self.enter()?;
        self.order(self.of_gpu, self.before, self.stream)?;
        let run = address as *mut core::ffi::c_void;
        let (number, sum) = (nccl::ncclDataType_t::ncclFloat32, nccl::ncclRedOp_t::ncclSum);
        let (group, stream) = (self.communicator, self.stream);
        // SAFETY: the caller promises that so many floats of the GPU's memory lie there.
        let begun =
            unsafe { (self.library.all_reduce)(run, run, floats, number, sum, group, stream) };
        check(self.library, "adding up over GPUs", begun)
    }

    fn is_done(&mut self) -> Result<bool, CudaError> {
        self.enter()?;
        let mut state = nccl::ncclResult_t::ncclSuccess;
        // SAFETY: the communicator is joined; the place is ours.
        let asked = unsafe { (self.library.comm_get_async_error)(self.communicator, &mut state) };
        check(self.library, "adding up over GPUs", asked)?;
        check(self.library, "adding up over GPUs", state)?;
        // SAFETY: the stream is ours.
        match unsafe { sys::cuStreamQuery(self.stream) } {
            sys::CUresult::CUDA_SUCCESS => Ok(true),
            sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            error => Err(call("adding up over GPUs")(result::DriverError(error))),
        }
    }

    fn end_sums(&mut self) -> Result<(), CudaError> {
        self.enter()?;
        self.order(self.stream, self.after, self.of_gpu)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let done = self.enter().is_ok() && self.is_done().is_ok_and(|done| done);
        // SAFETY: communicator, stream and events are ours and are given up once. A communicator that others
        // may have left waiting is aborted, which does not wait for them; objects that cannot be destroyed go
        // with the process.
        unsafe {
            let _ = if done {
                (self.library.comm_destroy)(self.communicator)
            } else {
                (self.library.comm_abort)(self.communicator)
            };
            let _ = result::event::destroy(self.before);
            let _ = result::event::destroy(self.after);
            let _ = result::stream::destroy(self.stream);
        }
    }
}

/// The library's error.
fn check(
    library: &NcclLibrary,
    doing: &'static str,
    outcome: nccl::ncclResult_t,
) -> Result<(), CudaError> {
    match outcome {
        nccl::ncclResult_t::ncclSuccess | nccl::ncclResult_t::ncclInProgress => Ok(()),
        fault => Err(CudaError::Driver { doing, reason: said(library, fault) }),
    }
}

fn said(library: &NcclLibrary, fault: nccl::ncclResult_t) -> String {
    // SAFETY: it returns a text that is never freed.
    let source = unsafe { (library.get_error_string)(fault) };
    if source.is_null() {
        return std::format!("NCCL error {}", fault as u32);
    }
    // SAFETY: the text ends with a NUL.
    std::format!("NCCL: {}", unsafe { CStr::from_ptr(source) }.to_string_lossy())
}
