//! Sums over several cards by NCCL, in a stream beside the card's own.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;
use std::string::String;

use cudarc::driver::result;
use cudarc::driver::sys;
use cudarc::nccl::sys as nccl;

use super::{Nvidia, call};
use crate::cuda::driver::{Group, Identity};
use crate::cuda::error::CudaError;

/// Whether the library is on this machine.
pub(crate) fn is_present() -> bool {
    // SAFETY: opens and closes the library, whose initialisation has no conditions.
    unsafe { nccl::is_culib_present() }
}

/// What a group is known by, made by one of its members.
pub(crate) fn identity() -> Result<Identity, CudaError> {
    if !is_present() {
        return Err(CudaError::NoNccl);
    }
    let mut identity = nccl::ncclUniqueId { internal: [0; 128] };
    // SAFETY: the library is there; the place is ours.
    check("naming a group of cards", unsafe { nccl::ncclGetUniqueId(&mut identity) })?;
    Ok(identity.internal.map(|byte| byte as u8))
}

/// A member of a group.
pub(super) struct Member {
    communicator: nccl::ncclComm_t,
    context: sys::CUcontext,
    /// The card's.
    of_card: sys::CUstream,
    /// That of the sums.
    stream: sys::CUstream,
    /// Passed in the card's stream before a sum begins.
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
        card: &Nvidia,
        identity: &Identity,
        rank: usize,
        size: usize,
    ) -> Result<Self, CudaError> {
        if !is_present() {
            return Err(CudaError::NoNccl);
        }
        card.enter()?;
        let identity = nccl::ncclUniqueId { internal: identity.map(|byte| byte as c_char) };
        let making = "making a stream";
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(call(making))?;
        let event = || result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING);
        let (before, after) = (event().map_err(call(making))?, event().map_err(call(making))?);
        let mut communicator = ptr::null_mut();
        let (rank, size) = (rank as c_int, size as c_int);
        // SAFETY: the library is there, the card's context is this thread's, the place is ours.
        let joined = unsafe { nccl::ncclCommInitRank(&mut communicator, size, identity, rank) };
        check("joining a group of cards", joined)?;
        let (context, of_card) = (card.context, card.stream);
        Ok(Self { communicator, context, of_card, stream, before, after })
    }

    /// Lets the stream `later` wait for what was asked for in `earlier` so far.
    fn order(
        &self,
        earlier: sys::CUstream,
        event: sys::CUevent,
        later: sys::CUstream,
    ) -> Result<(), CudaError> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: streams and event live as long as this value or longer. A wait is for what the event
        // stood for when it was asked for: the event may be used again at once.
        unsafe {
            result::event::record(event, earlier)
                .and_then(|()| result::stream::wait_event(later, event, flags))
        }
        .map_err(call("adding up over cards"))
    }

    fn enter(&self) -> Result<(), CudaError> {
        // SAFETY: the context is retained as long as the card, which outlives its membership.
        unsafe { result::ctx::set_current(self.context) }.map_err(call("using the card"))
    }
}

impl Group for Member {
    unsafe fn begin_sum(&mut self, address: u64, floats: usize) -> Result<(), CudaError> {
        self.enter()?;
        self.order(self.of_card, self.before, self.stream)?;
        let run = address as *mut core::ffi::c_void;
        let (number, sum) = (nccl::ncclDataType_t::ncclFloat32, nccl::ncclRedOp_t::ncclSum);
        let (group, stream) = (self.communicator, self.stream.cast());
        // SAFETY: the caller promises that so many floats of the card's memory lie there.
        let begun = unsafe { nccl::ncclAllReduce(run, run, floats, number, sum, group, stream) };
        check("adding up over cards", begun)
    }

    fn is_done(&mut self) -> Result<bool, CudaError> {
        self.enter()?;
        let mut state = nccl::ncclResult_t::ncclSuccess;
        // SAFETY: the communicator is joined; the place is ours.
        let asked = unsafe { nccl::ncclCommGetAsyncError(self.communicator, &mut state) };
        check("adding up over cards", asked)?;
        check("adding up over cards", state)?;
        // SAFETY: the stream is ours.
        match unsafe { sys::cuStreamQuery(self.stream) } {
            sys::CUresult::CUDA_SUCCESS => Ok(true),
            sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            error => Err(call("adding up over cards")(result::DriverError(error))),
        }
    }

    fn end_sums(&mut self) -> Result<(), CudaError> {
        self.enter()?;
        self.order(self.stream, self.after, self.of_card)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let done = self.enter().is_ok() && self.is_done().is_ok_and(|done| done);
        // SAFETY: communicator, stream and events are ours and are given up once. A communicator that others
        // may have left waiting is aborted, which does not wait for them; what cannot be given up goes with
        // the process.
        unsafe {
            let _ = if done {
                nccl::ncclCommDestroy(self.communicator)
            } else {
                nccl::ncclCommAbort(self.communicator)
            };
            let _ = result::event::destroy(self.before);
            let _ = result::event::destroy(self.after);
            let _ = result::stream::destroy(self.stream);
        }
    }
}

/// What the library says went wrong.
fn check(doing: &'static str, outcome: nccl::ncclResult_t) -> Result<(), CudaError> {
    match outcome {
        nccl::ncclResult_t::ncclSuccess | nccl::ncclResult_t::ncclInProgress => Ok(()),
        fault => Err(CudaError::Driver { doing, reason: said(fault) }),
    }
}

fn said(fault: nccl::ncclResult_t) -> String {
    // SAFETY: the library is there; it returns a text that is never freed.
    let text = unsafe { nccl::ncclGetErrorString(fault) };
    if text.is_null() {
        return std::format!("NCCL error {}", fault as u32);
    }
    // SAFETY: the text ends with a NUL.
    std::format!("NCCL: {}", unsafe { CStr::from_ptr(text) }.to_string_lossy())
}
