//! Commands captured as a graph, and the page-locked memory its mail is read from.
#![allow(unsafe_code)]

use core::ffi::c_void;
use std::boxed::Box;

use cudarc::driver::result;
use cudarc::driver::sys;

use super::fault::call;
use crate::cuda::command::Command;
use crate::cuda::driver::{Driver, Graph};
use crate::cuda::error::CudaError;

/// A graph, and the page-locked memory its mail is read from.
pub(super) struct NvidiaGraph {
    executable: sys::CUgraphExec,
    staging: StagingBuffer,
    event: sys::CUevent,
    under_way: bool,
    context: sys::CUcontext,
    stream: sys::CUstream,
}

// SAFETY: as `Nvidia`.
unsafe impl Send for NvidiaGraph {}

impl NvidiaGraph {
    /// Captures `commands` on the GPU's stream, preceded by a copy of the envelope to `parameter_buffer`.
    ///
    /// Nothing may be compiled or loaded meanwhile: that is done before.
    ///
    /// # Safety
    ///
    /// As [`Driver::capture`].
    pub(super) unsafe fn capture(
        gpu: &dyn Driver,
        stream: sys::CUstream,
        context: sys::CUcontext,
        commands: &[Command],
        parameter_buffer: u64,
        staging: StagingBuffer,
    ) -> Result<Box<dyn Graph>, CudaError> {
        let (noting, making) = ("noting a graph", "making a graph");
        // SAFETY: the stream is ours. Thread-local: calls of other threads are none of this graph's.
        unsafe {
            result::stream::begin_capture(
                stream,
                sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
            )
        }
        .map_err(call(noting))?;
        let noted = (|| {
            if staging.length > 0 {
                // SAFETY: the envelope lives as long as the graph; the mailbox is as long as the mail.
                unsafe { result::memcpy_htod_async(parameter_buffer, staging.bytes(), stream) }
                    .map_err(call(noting))?;
            }
            for command in commands {
                // SAFETY: the caller fulfills the conditions of `enqueue`.
                unsafe { gpu.enqueue(command)? };
            }
            Ok(())
        })();
        // SAFETY: the capture began above; it must end whatever happened in between.
        let graph = unsafe { result::stream::end_capture(stream) };
        if let Err(error) = noted {
            if let Ok(graph) = graph
                && !graph.is_null()
            {
                // SAFETY: the graph is valid, and not wanted: a command is missing.
                let _ = unsafe { result::graph::destroy(graph) };
            }
            return Err(error);
        }
        let graph = graph.map_err(call(noting))?;
        // SAFETY: the graph is valid, and no longer wanted once it is instantiated.
        let executable = unsafe {
            let executable = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(graph);
            executable.map_err(call(making))?
        };
        let event = match result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING) {
            Ok(event) => event,
            Err(error) => {
                // SAFETY: it was made above, and is not wanted without its event.
                let _ = unsafe { result::graph::exec_destroy(executable) };
                return Err(call(making)(error));
            }
        };
        Ok(Box::new(Self { executable, staging, event, under_way: false, context, stream }))
    }
}

impl Graph for NvidiaGraph {
    fn launch(&mut self, parameters: &[u8]) -> Result<(), CudaError> {
        let launching = "launching a graph";
        // SAFETY: context, event, executable and stream live as long as this value or longer.
        unsafe {
            result::ctx::set_current(self.context).map_err(call(launching))?;
            if core::mem::replace(&mut self.under_way, true) {
                // The last launch may still have to read its mail.
                result::event::synchronize(self.event).map_err(call(launching))?;
            }
            self.staging.bytes_mut().copy_from_slice(parameters);
            result::graph::launch(self.executable, self.stream).map_err(call(launching))?;
            result::event::record(self.event, self.stream).map_err(call(launching))
        }
    }
}

impl Drop for NvidiaGraph {
    fn drop(&mut self) {
        // SAFETY: both were made for this value; the driver keeps work under way until it is done,
        // but the envelope must outlast it.
        unsafe {
            let _ = result::ctx::set_current(self.context);
            if self.under_way {
                let _ = result::event::synchronize(self.event);
            }
            let _ = result::event::destroy(self.event);
            let _ = result::graph::exec_destroy(self.executable);
        }
    }
}

/// Page-locked host memory.
pub(super) struct StagingBuffer {
    start: *mut u8,
    length: usize,
}

impl StagingBuffer {
    pub(super) fn new(length: usize) -> Result<Self, CudaError> {
        // SAFETY: the memory is zeroed before anyone reads it, and freed in `drop`.
        unsafe {
            let start = result::malloc_host(length.max(1), 0)
                .map_err(call("asking for page-locked memory"))?
                .cast::<u8>();
            start.write_bytes(0, length.max(1));
            Ok(Self { start, length })
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: as long as was allocated, and initialized.
        unsafe { core::slice::from_raw_parts(self.start, self.length) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `bytes`, and borrowed alone.
        unsafe { core::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

impl Drop for StagingBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, freed once.
        let _ = unsafe { result::free_host(self.start.cast::<c_void>()) };
    }
}
