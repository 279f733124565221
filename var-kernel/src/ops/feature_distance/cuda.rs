//! feature_distance on a GPU: one warp a cell, sums of chunks of cells added up in their order.

use super::{Dims, FeatureDistance, LEAST};
use crate::cuda::command::Launch;
use crate::cuda::kernel_source::{Kernel, KernelSource};
use crate::cuda::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;

pub(crate) static SOURCE: KernelSource =
    KernelSource::new("feature_distance", include_str!("kernel.cu"));

const DISTANCES: Kernel = Kernel::new(&SOURCE, "distances");
const MEAN: Kernel = Kernel::new(&SOURCE, "mean");

/// Cells of a chunk: some for each of a block's eight warps.
const CHUNK: usize = 32;

/// Words of a chunk's sum.
const SUM: usize = size_of::<f64>() / size_of::<f32>();

impl FeatureDistance for Cuda {
    fn feature_distance(
        &self,
        out: &mut Remote,
        a: &Remote,
        b: &Remote,
        weights: &Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), a.len(), b.len(), weights.len());
        if out.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let (a, b) = (self.operand_f32(a, a.len())?, self.operand_f32(b, b.len())?);
        let chunks = d.cells.div_ceil(CHUNK).max(1);
        let sums = self.scratch(SUM * d.batch * chunks)?;
        let launch = Launch::new(DISTANCES, [d.batch * chunks, 1, 1], 256).address(sums);
        let launch = launch.address(a).address(b).slice(weights).float(LEAST);
        let launch = launch.size(d.cells).size(d.channels).size(CHUNK).size(chunks);
        self.launch_to_scratch(launch)?;
        let launch = Launch::new(MEAN, [d.batch, 1, 1], 256).slice(out).address(sums);
        self.launch(launch.size(d.cells).size(chunks), [(out, Dtype::F32)])
    }
}
