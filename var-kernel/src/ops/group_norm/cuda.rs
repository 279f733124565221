//! group_norm on a GPU: measure chunks, merge them, apply.

use super::{Activation, Dims, GroupNorm};
use crate::cuda::command::Launch;
use crate::cuda::kernel_source::{Kernel, KernelSource, MOMENTS, SOME};
use crate::cuda::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;

pub(crate) static SOURCE: KernelSource =
    KernelSource::new("group_norm", include_str!("kernel.cu")).with(&[SOME, MOMENTS]);

const MERGE: Kernel = Kernel::new(&SOURCE, "merge");

const THREADS: usize = 256;

/// Groups of a block of `merge`: one a warp.
const GROUPS: usize = 8;

/// Bytes that one access moves at most.
const ACCESS: u64 = 16;

/// Positions of a chunk: its second reading finds it in a cache.
const CHUNK: usize = 64;

/// The most chunks of an image.
const MAX_CHUNKS: usize = 1024;

impl GroupNorm for Cuda {
    /// The output is in the format of activations inside a block.
    fn group_norm(
        &self,
        out: &mut Remote,
        x: &Remote,
        weight: &Remote,
        bias: &Remote,
        eps: f32,
        activation: Activation,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len(), weight.len(), bias.len());
        if out.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.operand_f32(x, x.len())?;
        let by_four = d.channels.is_multiple_of(4)
            && x.is_multiple_of(ACCESS)
            && out.address().is_multiple_of(ACCESS);
        let (each, chunk) = (if by_four { 4 } else { 1 }, chunk(d.positions));
        let chunks = d.positions.div_ceil(chunk);
        let moments = self.scratch(2 * d.batch * chunks * d.groups)?;
        let factors = self.scratch(2 * d.batch * d.channels)?;

        let kernel = Kernel::new(&SOURCE, if by_four { "measure_4" } else { "measure_1" });
        let launch = Launch::new(kernel, [d.batch * chunks, 1, 1], THREADS as u32);
        let launch = launch.sharing(measure_shared(d, each)).address(moments).address(x);
        let launch = launch.size(d.positions).size(d.channels).size(d.groups);
        self.launch_to_scratch(launch.size(chunk).size(chunks))?;

        let all_groups = d.batch * d.groups;
        let launch = Launch::new(MERGE, [all_groups.div_ceil(GROUPS), 1, 1], THREADS as u32);
        let launch = launch.address(factors).address(moments).slice(weight).slice(bias).float(eps);
        let launch = launch.size(d.positions).size(d.channels).size(d.groups);
        self.launch_to_scratch(launch.size(chunk).size(chunks).size(all_groups))?;

        let (name, dtype) = match (self.inner(), by_four) {
            (Dtype::F32, true) => ("apply_4", Dtype::F32),
            (Dtype::F32, false) => ("apply_1", Dtype::F32),
            (half, true) => ("apply_4_half", half),
            (half, false) => ("apply_1_half", half),
        };
        let launch = Launch::for_each(Kernel::new(&SOURCE, name), out.len().div_ceil(each));
        let silu = usize::from(activation == Activation::Silu);
        let launch = launch.slice(out).address(x).address(factors).size(silu).size(d.channels);
        let launch = launch.length(d.positions * d.channels).length(out.len());
        self.launch(launch, [(out, dtype)])
    }
}

/// Positions of a chunk.
fn chunk(positions: usize) -> usize {
    positions.div_ceil(MAX_CHUNKS).max(CHUNK)
}

/// Bytes of shared memory `measure` wants: sums of rows, and means.
fn measure_shared(d: Dims, each: usize) -> usize {
    let pieces = d.channels / each;
    let rows = if pieces <= THREADS { THREADS / pieces } else { 1 };
    size_of::<f32>() * (rows * d.channels + d.groups)
}

#[cfg(test)]
impl Cuda {
    /// As [`GroupNorm::group_norm`], plainly and in `f32`.
    pub(crate) fn group_norm_naive(
        &self,
        out: &mut Remote,
        x: &Remote,
        weight: &Remote,
        bias: &Remote,
        eps: f32,
        activation: Activation,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len(), weight.len(), bias.len());
        let all_groups = d.batch * d.groups;
        let launch = Launch::for_each(Kernel::new(&SOURCE, "group_norm_naive"), all_groups);
        let silu = usize::from(activation == Activation::Silu);
        let launch = launch.slice(out).slice(x).slice(weight).slice(bias).float(eps).size(silu);
        let launch = launch.size(d.positions).size(d.channels).size(d.groups).size(all_groups);
        self.launch(launch, [(out, Dtype::F32)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_every_position() {
        for positions in [1, 63, 64, 65, 65_536, 1 << 20, (1 << 20) + 1] {
            let chunk = chunk(positions);
            let chunks = positions.div_ceil(chunk);
            assert!((chunks - 1) * chunk < positions && positions <= chunks * chunk);
            assert!(chunks <= MAX_CHUNKS);
        }
    }

    #[test]
    fn shared_memory_is_what_a_block_has_without_asking() {
        for channels in [32, 160, 320, 640, 1024, 2048] {
            let d = Dims { batch: 1, positions: 1, channels, groups: 32 };
            assert!(measure_shared(d, 4) <= 48 << 10, "{channels}");
        }
    }
}
