//! The gradient of the distance between features on a GPU: one warp a cell.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::feature_distance::{Dims, LEAST};
use var_kernel::parts::{Kernel, Launch};

use super::FeatureDistanceBackward;
use crate::grad::kernel_sources::kernel_source;

kernel_source!("feature_distance", "kernel.cu");

const BACKWARD: Kernel = Kernel::new(&SOURCE, "feature_distance_backward");

/// Cells of a block: one a warp.
const CELLS: usize = 8;

impl FeatureDistanceBackward for Cuda {
    fn feature_distance_backward(
        &self,
        da: &mut Remote,
        dout: &Remote,
        a: &Remote,
        b: &Remote,
        weights: &Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        assert_eq!(da.len(), a.len(), "feature_distance_backward: da is not as a");
        d.check(dout.len(), a.len(), b.len(), weights.len());
        let cells = d.batch * d.cells;
        if cells == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let (a, b) = (self.operand_f32(a, a.len())?, self.operand_f32(b, b.len())?);
        let dout = self.operand_f32(dout, dout.len())?;
        let launch = Launch::new(BACKWARD, [cells.div_ceil(CELLS), 1, 1], 256).slice(da);
        let launch = launch.address(dout).address(a).address(b).slice(weights).float(LEAST);
        let launch = launch.size(d.cells).size(d.channels).length(cells);
        self.launch(launch, [(da, Dtype::F32)])
    }
}
