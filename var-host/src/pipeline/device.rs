//! The processor or GPU that computes.

use core::num::NonZero;
use std::thread;

use var_kernel::cpu::Isa;

use crate::engine::Engine;
#[cfg(feature = "cuda")]
use crate::gpu::{self, GpuOptions};
use crate::model::Weights;

use super::Error;

/// Threads, instruction set and GPU; by default all cores with the best instruction set, no GPU.
///
/// On the CPU the results are the same bytes for every value.
///
/// ```
/// use var_host::Device;
/// let two_threads = Device::cpu().threads(2);
/// assert_ne!(two_threads, Device::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Device {
    threads: Option<NonZero<usize>>,
    isa: Option<Isa>,
    #[cfg(feature = "cuda")]
    gpu: Option<GpuOptions>,
}

impl Device {
    /// All cores, the best instruction set.
    pub fn cpu() -> Self {
        Self::default()
    }

    /// Number of the GPU called `cuda` (0) or `cuda:N`; none for another name.
    ///
    /// ```
    /// use var_host::Device;
    ///
    /// assert_eq!(["cuda", "cuda:3", "cpu"].map(Device::cuda_number), [Some(0), Some(3), None]);
    /// ```
    pub fn cuda_number(name: &str) -> Option<u32> {
        match name.strip_prefix("cuda")? {
            "" => Some(0),
            rest => rest.strip_prefix(':')?.parse().ok(),
        }
    }

    /// The GPU of this number, with products in `precision` (feature `cuda`).
    #[cfg(feature = "cuda")]
    pub fn cuda(number: u32, precision: var_kernel::cuda::Precision) -> Self {
        Self { gpu: Some(GpuOptions { number, precision }), ..Self::default() }
    }

    /// Computes with `threads` threads.
    ///
    /// # Panics
    /// If `threads` is 0.
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: Some(NonZero::new(threads).expect("at least one thread")), ..self }
    }

    /// Computes with the instruction set `isa`.
    pub fn isa(self, isa: Isa) -> Self {
        Self { isa: Some(isa), ..self }
    }

    /// An engine for `weights` on this device.
    pub(crate) fn engine<'w>(&self, weights: &'w Weights) -> Result<Engine<'w>, Error> {
        let (threads, isa) = self.processor();
        let engine = Engine::new(weights, threads, isa)?;
        #[cfg(feature = "cuda")]
        if let Some(chosen) = self.gpu {
            return match self.gpu(chosen.precision)? {
                Some(gpu) => Ok(engine.on_gpu(gpu)?),
                None => Ok(engine),
            };
        }
        Ok(engine)
    }

    /// Threads and instruction set.
    pub(crate) fn processor(&self) -> (usize, Isa) {
        let cores = || thread::available_parallelism().map_or(1, NonZero::get);
        let threads = self.threads.map_or_else(cores, NonZero::get);
        (threads, self.isa.unwrap_or_else(Isa::best))
    }

    /// The GPU with products in `precision`, if it is one.
    #[cfg(feature = "cuda")]
    pub(crate) fn gpu(
        &self,
        precision: var_kernel::cuda::Precision,
    ) -> Result<Option<var_kernel::cuda::Cuda>, Error> {
        let open = |chosen| gpu::open(GpuOptions { precision, ..chosen }, |_| ());
        Ok(self.gpu.map(open).transpose().map_err(gpu::GpuError::from)?)
    }
}
