//! The driver interface of the CUDA backend: NVIDIA's driver, or a recorder in unit tests.
#![allow(unsafe_code)]

pub(crate) mod compile;
pub(crate) mod nvidia;
#[cfg(test)]
pub(crate) mod recording;

use std::boxed::Box;
use std::string::String;

use super::command::Command;
use super::error::CudaError;
use super::gemm::Shape;
use super::kernel_source::Kernel;

/// Memory, copies and commands of one GPU, in one stream: commands run in order.
///
/// Addresses are the GPU's; 0 is none.
pub(crate) trait Driver: Send + Sync {
    /// Properties of the GPU.
    fn properties(&self) -> &GpuProperties;

    /// New memory, contents unspecified, aligned to 256 bytes.
    fn allocate(&self, bytes: u64) -> Result<u64, CudaError>;

    /// Gives memory back that [`Driver::allocate`] gave, after all that was asked for is done.
    fn free(&self, address: u64);

    /// Free and total bytes.
    fn memory(&self) -> Result<(u64, u64), CudaError>;

    /// Copies to the GPU; returns when `from` may change.
    fn upload(&self, to: u64, from: &[u8]) -> Result<(), CudaError>;

    /// Copies from the GPU; returns when it is done.
    fn download(&self, to: &mut [u8], from: u64) -> Result<(), CudaError>;

    /// Asks for one command; may return before it is done.
    ///
    /// # Safety
    ///
    /// Every address in it must be that of memory of this driver, as long as the kernel at hand reads
    /// or writes for the sizes among its arguments.
    unsafe fn enqueue(&self, command: &Command) -> Result<(), CudaError>;

    /// Makes a graph of `commands`, preceded by a copy of the launch's mail to `parameter_buffer`.
    ///
    /// # Safety
    ///
    /// As [`Driver::enqueue`], whenever the graph is launched.
    unsafe fn capture(
        &self,
        commands: &[Command],
        parameter_buffer: u64,
        parameters: usize,
    ) -> Result<Box<dyn Graph>, CudaError>;

    /// Returns when all that was asked for is done.
    fn wait(&self) -> Result<(), CudaError>;

    /// Milliseconds from `begin` to `end` of two marks of this stream, which must have been passed.
    fn elapsed(&self, begin: Event, end: Event) -> Result<f32, CudaError>;

    /// Frees the events of all marks so far.
    fn forget_events(&self);

    /// A mark in the stream.
    fn record_event(&self) -> Result<Event, CudaError>;

    /// Compiles or loads the module of `kernel`.
    fn prepare(&self, kernel: Kernel) -> Result<(), CudaError>;

    /// Whether there is a library that is the best for products of this shape: [`Command::Multiply`].
    fn multiplies(&self, _: &Shape) -> bool {
        false
    }

    /// That library's name and version, if there is one.
    fn library(&self) -> Option<String> {
        None
    }

    /// Joins a group of GPUs; only NVIDIA's can.
    fn join(
        &self,
        _: &UniqueId,
        _: usize,
        _: usize,
    ) -> Result<Box<dyn DriverCommunicator>, CudaError> {
        Err(CudaError::NoNccl)
    }
}

/// Identity of a group of GPUs (NCCL's unique id).
pub type UniqueId = [u8; 128];

/// A GPU's membership in a group of GPUs.
pub(crate) trait DriverCommunicator: Send {
    /// Begins an all-reduce of runs of `floats`, one on each GPU, after all commands before; later
    /// commands do not wait for the sum.
    ///
    /// # Safety
    ///
    /// The address must be that of so many floats of this GPU's memory.
    unsafe fn begin_sum(&mut self, address: u64, floats: usize) -> Result<(), CudaError>;

    /// Whether all sums that were begun are there.
    fn is_done(&mut self) -> Result<bool, CudaError>;

    /// Lets later commands wait for all sums that were begun.
    fn end_sums(&mut self) -> Result<(), CudaError>;
}

/// Commands that are asked for as one.
pub(crate) trait Graph: Send {
    /// Asks for all of them, with `parameters` in the mailbox.
    fn launch(&mut self, parameters: &[u8]) -> Result<(), CudaError>;
}

/// A place in the stream with a time (an event).
#[derive(Clone, Copy, Debug)]
pub struct Event(pub(crate) u64);

/// Properties of a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuProperties {
    /// Its name.
    pub name: String,
    /// Its compute capability, 9.0 as (9, 0).
    pub capability: (u32, u32),
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// The most shared memory of a block, in bytes.
    pub shared: u32,
}
