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
    pub(super) fn engine<'w>(&self, weights: &'w Weights) -> Result<Engine<'w>, Error> {
        let cores = || thread::available_parallelism().map_or(1, NonZero::get);
        let threads = self.threads.map_or_else(cores, NonZero::get);
        let engine = Engine::new(weights, threads, self.isa.unwrap_or_else(Isa::best))?;
        #[cfg(feature = "cuda")]
        if let Some(chosen) = self.gpu {
            let gpu = gpu::open(chosen, |_| ()).map_err(gpu::GpuError::from)?;
            return Ok(engine.on_card(gpu)?);
        }
        Ok(engine)
    }
}
