//! Adaptive LayerNorm on a GPU: one block a row.

use super::{Dims, LayerNorm};
use crate::cuda::command::Launch;
use crate::cuda::kernel_source::{Kernel, KernelSource, SOME};
use crate::cuda::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;
use crate::ops::PerRow;

pub(crate) static SOURCE: KernelSource =
    KernelSource::new("layer_norm", include_str!("kernel.cu")).with(&[SOME]);

const LAYER_NORM: Kernel = Kernel::new(&SOURCE, "layer_norm");
const LAYER_NORM_HALF: Kernel = Kernel::new(&SOURCE, "layer_norm_half");
#[cfg(test)]
const NAIVE: Kernel = Kernel::new(&SOURCE, "layer_norm_naive");

const THREADS: u32 = 256;

/// Bytes of four numbers, which one access moves.
const FOUR: u64 = 16;

impl LayerNorm for Cuda {
    /// The output is in the format of activations inside a block.
    fn layer_norm(
        &self,
        out: &mut Remote,
        x: &Remote,
        scale: PerRow<'_, Remote>,
        shift: PerRow<'_, Remote>,
        eps: f32,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len(), scale, shift);
        if out.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let (kernel, dtype) = match self.inner() {
            Dtype::F32 => (LAYER_NORM, Dtype::F32),
            half => (LAYER_NORM_HALF, half),
        };
        let x = self.operand_f32(x, d.rows * d.channels)?;
        let by_four = d.channels.is_multiple_of(4)
            && [out.address(), x].iter().all(|address| address.is_multiple_of(FOUR))
            && [scale, shift].iter().all(|part| {
                part.table.address().is_multiple_of(FOUR)
                    && part.start.is_multiple_of(4)
                    && part.stride.is_multiple_of(4)
            });
        let launch = Launch::new(kernel, [d.rows, 1, 1], THREADS).slice(out).address(x);
        let launch = shift.add_to(scale.add_to(launch)).float(eps).size(d.channels);
        self.launch(launch.size(by_four.into()), [(out, dtype)])
    }
}

#[cfg(test)]
impl Cuda {
    /// As [`LayerNorm::layer_norm`], plainly and in `f32`.
    pub(crate) fn layer_norm_naive(
        &self,
        out: &mut Remote,
        x: &Remote,
        scale: PerRow<'_, Remote>,
        shift: PerRow<'_, Remote>,
        eps: f32,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len(), scale, shift);
        let launch = Launch::for_each(NAIVE, d.rows).slice(out).slice(x);
        let launch = shift.add_to(scale.add_to(launch)).float(eps).size(d.channels).size(d.rows);
        self.launch(launch, [(out, Dtype::F32)])
    }
}
