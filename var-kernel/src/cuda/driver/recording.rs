//! A GPU that only records its commands, for unit tests of launches.

use std::boxed::Box;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::{Driver, Event, GpuProperties, Graph};
use crate::cuda::command::Command;
use crate::cuda::error::CudaError;
use crate::cuda::kernel_source::Kernel;
use crate::cuda::{Cuda, Precision};

/// A recorded command.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are commands")]
pub(crate) enum DriverCall {
    /// One command.
    Enqueue(Command),
    /// A graph of so many commands was made.
    Capture(usize),
    /// A graph was launched with this mail.
    Launch(Vec<u8>),
    /// Bytes were copied to the GPU.
    Upload(u64, Vec<u8>),
    /// Bytes were copied from the GPU.
    Download(u64, usize),
}

/// A GPU that computes nothing and has so many bytes of memory, and its record; work never becomes a graph.
pub(crate) fn recorded(precision: Precision, bytes: u64) -> (Cuda, Recording) {
    let gpu = Recording::with_memory(bytes);
    let cuda = Cuda::on(Arc::new(gpu.clone()), precision, false).expect("it has room for mail");
    (cuda, gpu)
}

/// The GPU; clones share their record.
#[derive(Clone)]
pub(crate) struct Recording {
    gpu: GpuProperties,
    asked: Arc<Mutex<Vec<DriverCall>>>,
    /// Bytes the GPU has left.
    left: Arc<Mutex<u64>>,
}

impl Recording {
    pub(crate) fn with_memory(bytes: u64) -> Self {
        let gpu = GpuProperties {
            name: "recording GPU".into(),
            capability: (8, 0),
            multiprocessors: 108,
            shared: 163 << 10,
        };
        Self { gpu, asked: Arc::default(), left: Arc::new(Mutex::new(bytes)) }
    }

    /// The names of the kernels launched since the last call, one by one.
    pub(crate) fn launched(&self) -> Vec<&'static str> {
        let kernel = |asked| match asked {
            DriverCall::Enqueue(Command::Launch(launch)) => Some(launch.kernel.name),
            _ => None,
        };
        self.take().into_iter().filter_map(kernel).collect()
    }

    /// The commands since the last call.
    pub(crate) fn take(&self) -> Vec<DriverCall> {
        core::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn record(&self, asked: DriverCall) {
        self.asked.lock().unwrap().push(asked);
    }
}

impl Driver for Recording {
    fn properties(&self) -> &GpuProperties {
        &self.gpu
    }

    fn allocate(&self, bytes: u64) -> Result<u64, CudaError> {
        let mut left = self.left.lock().unwrap();
        match left.checked_sub(bytes) {
            Some(rest) => {
                *left = rest.next_multiple_of(256) - if rest.is_multiple_of(256) { 0 } else { 256 };
                Ok(*left + 256)
            }
            None => Err(CudaError::OutOfMemory { asked: bytes, free: *left, total: *left }),
        }
    }

    fn free(&self, _: u64) {}

    fn memory(&self) -> Result<(u64, u64), CudaError> {
        let left = *self.left.lock().unwrap();
        Ok((left, left))
    }

    fn upload(&self, to: u64, from: &[u8]) -> Result<(), CudaError> {
        self.record(DriverCall::Upload(to, from.to_vec()));
        Ok(())
    }

    fn download(&self, to: &mut [u8], from: u64) -> Result<(), CudaError> {
        self.record(DriverCall::Download(from, to.len()));
        Ok(())
    }

    unsafe fn enqueue(&self, command: &Command) -> Result<(), CudaError> {
        self.record(DriverCall::Enqueue(command.clone()));
        Ok(())
    }

    unsafe fn capture(
        &self,
        commands: &[Command],
        _: u64,
        _: usize,
    ) -> Result<Box<dyn Graph>, CudaError> {
        self.record(DriverCall::Capture(commands.len()));
        Ok(Box::new(self.clone()))
    }

    fn wait(&self) -> Result<(), CudaError> {
        Ok(())
    }

    fn forget_events(&self) {}

    fn record_event(&self) -> Result<Event, CudaError> {
        Ok(Event(0))
    }

    fn elapsed(&self, _: Event, _: Event) -> Result<f32, CudaError> {
        Ok(0.0)
    }

    fn prepare(&self, _: Kernel) -> Result<(), CudaError> {
        Ok(())
    }
}

impl Graph for Recording {
    fn launch(&mut self, parameters: &[u8]) -> Result<(), CudaError> {
        self.record(DriverCall::Launch(parameters.to_vec()));
        Ok(())
    }
}
