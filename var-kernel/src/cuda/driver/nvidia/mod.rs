//! An NVIDIA driver: one GPU, one stream.
#![allow(unsafe_code)]

mod cublaslt;
#[cfg(test)]
mod fakes;
mod fault;
mod graph;
mod modules;
pub(crate) mod nccl;
mod open;
#[cfg(test)]
mod tests;

use core::ffi::{c_int, c_void};
use core::ptr;
use std::boxed::Box;
use std::collections::HashMap;
use std::string::String;
use std::sync::{Mutex, OnceLock};
use std::vec::Vec;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use self::cublaslt::Library;
use self::fault::{call, reason};
use self::graph::{NvidiaGraph, StagingBuffer};
use super::{Driver, DriverCommunicator, Event, GpuProperties, Graph, UniqueId};
use crate::cuda::command::{Command, Launch};
use crate::cuda::cubin_cache::CubinCache;
use crate::cuda::dtype::Precision;
use crate::cuda::error::CudaError;
use crate::cuda::gemm::{GemmProvider, Shape};
use crate::cuda::kernel_source::Kernel;

/// Shared memory, declared and dynamic together, that a block may have without a function's attribute.
const USUAL_SHARED: u32 = 48 << 10;

/// A GPU under an NVIDIA driver.
pub(crate) struct Nvidia {
    gpu: GpuProperties,
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    /// Precision of products, for which sources are compiled.
    precision: Precision,
    cubin_cache: Option<Box<dyn CubinCache>>,
    gemm_provider: GemmProvider,
    /// Multiply-adds of a multiprocessor from which on a product is the provider's.
    large_product: u64,
    /// Opened when the first large product is wanted: it is large itself.
    library: OnceLock<Option<Library>>,
    loaded: Mutex<NvidiaState>,
}

#[derive(Default)]
struct NvidiaState {
    modules: HashMap<&'static str, sys::CUmodule>,
    functions: HashMap<(&'static str, &'static str), ModuleFunction>,
    events: Vec<sys::CUevent>,
    last: &'static str,
}

/// A kernel's function.
#[derive(Clone, Copy)]
struct ModuleFunction {
    handle: sys::CUfunction,
    /// Bytes of dynamic shared memory that a launch may have.
    allowed: u32,
    /// Parameters, which the driver reads without a count of the arguments.
    parameters: Option<usize>,
}

// SAFETY: handles of the driver may be used from any thread that has made the context its own, which
// every call here does first.
unsafe impl Send for Nvidia {}
// SAFETY: the driver's calls may be made from several threads at once; mutable state is locked.
unsafe impl Sync for Nvidia {}

impl Nvidia {
    /// Makes the GPU's context this thread's.
    fn enter(&self) -> Result<(), CudaError> {
        // SAFETY: the context is retained until `drop`.
        unsafe { result::ctx::set_current(self.context) }.map_err(call("using the GPU"))
    }

    /// The library for large products, if it is wanted and there.
    fn cublaslt(&self) -> Option<&Library> {
        if self.gemm_provider == GemmProvider::Builtin || self.enter().is_err() {
            return None;
        }
        let open = || Library::open(self.context, self.stream, self.gpu.capability);
        self.library.get_or_init(open).as_ref()
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, NvidiaState> {
        self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Meaning of an error that shows while waiting.
    fn failed(&self, error: DriverError) -> CudaError {
        CudaError::Failed { after: self.loaded().last, reason: reason(error) }
    }

    fn launch(&self, launch: &Launch) -> Result<(), CudaError> {
        let function = self.function(launch.kernel)?;
        let name = launch.kernel.name;
        let refused = |error| CudaError::Launch { kernel: name, reason: reason(error) };
        let count = launch.arguments().len();
        if let Some(parameters) = function.parameters.filter(|parameters| *parameters != count) {
            let reason =
                std::format!("it has {parameters} parameters, {count} arguments are given");
            return Err(CudaError::Launch { kernel: name, reason });
        }
        if launch.shared > function.allowed {
            let attribute =
                sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let (handle, shared) = (function.handle, launch.shared as c_int);
            // SAFETY: the function is loaded.
            unsafe { result::function::set_function_attribute(handle, attribute, shared) }
                .map_err(refused)?;
            let key = (launch.kernel.source.name, name);
            let allowed = ModuleFunction { allowed: launch.shared, ..function };
            let _ = self.loaded().functions.insert(key, allowed);
        }
        self.loaded().last = name;
        let mut arguments: Vec<*mut c_void> = launch
            .arguments()
            .iter()
            .map(|word| ptr::from_ref(word).cast_mut().cast::<c_void>())
            .collect();
        let [x, y, z] = launch.grid;
        // SAFETY: the function is loaded and has as many parameters; each argument points at a word with the
        // argument in its low bytes, which the driver copies; the caller of `Driver::enqueue` vouches for
        // the memory behind the addresses among them.
        unsafe {
            result::launch_kernel(
                function.handle,
                (x, y, z),
                (launch.threads, 1, 1),
                launch.shared,
                self.stream,
                &mut arguments,
            )
        }
        .map_err(refused)
    }
}

impl Driver for Nvidia {
    fn properties(&self) -> &GpuProperties {
        &self.gpu
    }

    fn allocate(&self, bytes: u64) -> Result<u64, CudaError> {
        self.enter()?;
        // SAFETY: the memory is unset; every reader has written it first.
        match unsafe { result::malloc_sync(bytes as usize) } {
            Ok(address) => Ok(address),
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                let (free, total) = self.memory()?;
                Err(CudaError::OutOfMemory { asked: bytes, free, total })
            }
            Err(error) => Err(call("asking for memory")(error)),
        }
    }

    fn free(&self, address: u64) {
        if self.wait().is_ok() {
            // SAFETY: the address comes from `malloc_sync`, is freed once, and nothing under way uses it.
            // Memory that cannot be freed is lost with the GPU.
            let _ = unsafe { result::free_sync(address) };
        }
    }

    fn memory(&self) -> Result<(u64, u64), CudaError> {
        self.enter()?;
        let (free, total) = result::mem_get_info().map_err(call("asking for free memory"))?;
        Ok((free as u64, total as u64))
    }

    fn upload(&self, to: u64, from: &[u8]) -> Result<(), CudaError> {
        self.enter()?;
        // SAFETY: `from` is ordinary memory, which the driver has copied before it returns; the caller
        // has checked the length of the memory at `to`.
        unsafe { result::memcpy_htod_async(to, from, self.stream) }
            .map_err(|error| self.failed(error))
    }

    fn download(&self, to: &mut [u8], from: u64) -> Result<(), CudaError> {
        self.enter()?;
        // SAFETY: `to` is borrowed until the stream has been waited for.
        unsafe {
            result::memcpy_dtoh_async(to, from, self.stream)
                .and_then(|()| result::stream::synchronize(self.stream))
        }
        .map_err(|error| self.failed(error))
    }

    unsafe fn enqueue(&self, command: &Command) -> Result<(), CudaError> {
        self.enter()?;
        match command {
            Command::Launch(launch) => self.launch(launch),
            Command::Multiply(product) => {
                self.loaded().last = "cuBLASLt";
                let library = self.cublaslt().expect("a library is asked only if it is there");
                // SAFETY: the caller vouches for the memory behind the addresses.
                unsafe { library.multiply(product) }
            }
            Command::Copy { to, from, bytes } => {
                // SAFETY: the caller vouches for the memory behind the addresses.
                unsafe { result::memcpy_dtod_async(*to, *from, *bytes as usize, self.stream) }
                    .map_err(|error| self.failed(error))
            }
        }
    }

    unsafe fn capture(
        &self,
        commands: &[Command],
        parameter_buffer: u64,
        parameters: usize,
    ) -> Result<Box<dyn Graph>, CudaError> {
        self.enter()?;
        // Nothing may be compiled or loaded while a stream is captured.
        for command in commands {
            if let Command::Launch(launch) = command {
                self.prepare(launch.kernel)?;
            }
        }
        let staging = StagingBuffer::new(parameters)?;
        // SAFETY: the caller fulfills the conditions of `enqueue`; the mailbox is as long as the mail.
        unsafe {
            NvidiaGraph::capture(
                self,
                self.stream,
                self.context,
                commands,
                parameter_buffer,
                staging,
            )
        }
    }

    fn wait(&self) -> Result<(), CudaError> {
        self.enter()?;
        // SAFETY: the stream is ours.
        unsafe { result::stream::synchronize(self.stream) }.map_err(|error| self.failed(error))
    }

    fn forget_events(&self) {
        for event in core::mem::take(&mut self.loaded().events) {
            // SAFETY: the event was made in `event` and is destroyed once.
            let _ = unsafe { result::event::destroy(event) };
        }
    }

    fn record_event(&self) -> Result<Event, CudaError> {
        self.enter()?;
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT)
            .map_err(call("taking the time"))?;
        // SAFETY: the event was made above, the stream is ours.
        unsafe { result::event::record(event, self.stream) }.map_err(call("taking the time"))?;
        let mut loaded = self.loaded();
        loaded.events.push(event);
        Ok(Event(loaded.events.len() as u64 - 1))
    }

    fn elapsed(&self, begin: Event, end: Event) -> Result<f32, CudaError> {
        self.enter()?;
        let loaded = self.loaded();
        let event = |event: Event| loaded.events[event.0 as usize];
        // SAFETY: both events were recorded in this stream and are destroyed in `drop`.
        unsafe {
            result::event::synchronize(event(end))
                .and_then(|()| result::event::elapsed(event(begin), event(end)))
        }
        .map_err(call("taking the time"))
    }

    fn prepare(&self, kernel: Kernel) -> Result<(), CudaError> {
        self.enter()?;
        self.function(kernel).map(drop)
    }

    fn multiplies(&self, shape: &Shape) -> bool {
        shape.is_large(self.gpu.multiprocessors, self.large_product)
            && self.cublaslt().is_some_and(|library| library.multiplies(shape))
    }

    fn library(&self) -> Option<String> {
        self.cublaslt().map(Library::name)
    }

    fn join(
        &self,
        unique_id: &UniqueId,
        rank: usize,
        size: usize,
    ) -> Result<Box<dyn DriverCommunicator>, CudaError> {
        self.enter()?;
        Ok(Box::new(nccl::Member::join(self.context, self.stream, unique_id, rank, size)?))
    }
}

impl Drop for Nvidia {
    fn drop(&mut self) {
        if self.wait().is_err() {
            // The GPU is lost: its handles are no longer valid, and the library would use its own of them.
            core::mem::forget(self.library.take());
            return;
        }
        drop(self.library.take());
        let loaded = core::mem::take(&mut *self.loaded());
        // SAFETY: all of these were made by this value, nothing is under way, and nothing of it is used
        // afterward. Objects that cannot be destroyed go with the process.
        unsafe {
            for event in loaded.events {
                let _ = result::event::destroy(event);
            }
            for module in loaded.modules.into_values() {
                let _ = result::module::unload(module);
            }
            let _ = result::stream::destroy(self.stream);
            let _ = result::primary_ctx::release(self.device);
        }
    }
}
