//! A GPU that only records its commands, for tests of launches.

use std::boxed::Box;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::{Driver, Event, GpuProperties, Graph};
use crate::cuda::command::{Command, Launch};
use crate::cuda::error::CudaError;
use crate::cuda::gemm::{GemmProvider, Shape};
use crate::cuda::kernel_source::Kernel;

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

/// A kernel that was launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// Its name.
    pub kernel: &'static str,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block, in bytes.
    pub shared: u32,
}

/// The GPU; clones share their record.
#[derive(Clone)]
pub struct Recording {
    gpu: GpuProperties,
    gemm_provider: GemmProvider,
    asked: Arc<Mutex<Vec<DriverCall>>>,
    /// Bytes the GPU has left.
    left: Arc<Mutex<u64>>,
}

impl Recording {
    pub(crate) fn with_memory(bytes: u64, gemm_provider: GemmProvider) -> Self {
        let gpu = GpuProperties {
            name: "recording card".into(),
            capability: (8, 0),
            multiprocessors: 108,
            shared: 163 << 10,
        };
        Self { gpu, gemm_provider, asked: Arc::default(), left: Arc::new(Mutex::new(bytes)) }
    }

    /// The kernels launched since the last call, one by one or in graphs that were made.
    pub fn launched(&self) -> Vec<Launched> {
        self.launched_and_multiplied().0
    }

    /// The same, and the products that the library was asked for.
    pub fn launched_and_multiplied(&self) -> (Vec<Launched>, Vec<Shape>) {
        let (mut launched, mut multiplied) = (Vec::new(), Vec::new());
        for asked in self.take() {
            match asked {
                DriverCall::Enqueue(Command::Launch(Launch {
                    kernel,
                    grid,
                    threads,
                    shared,
                    ..
                })) => {
                    launched.push(Launched { kernel: kernel.name, grid, threads, shared });
                }
                DriverCall::Enqueue(Command::Multiply(product)) => multiplied.push(product.shape),
                _ => {}
            }
        }
        (launched, multiplied)
    }

    /// Bytes that are not taken.
    pub fn left(&self) -> u64 {
        *self.left.lock().unwrap()
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

    fn multiplies(&self, shape: &Shape) -> bool {
        self.gemm_provider == GemmProvider::CublasLt && shape.is_large(self.gpu.multiprocessors)
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
