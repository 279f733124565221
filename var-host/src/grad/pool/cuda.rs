//! The gradient of pooling on a GPU: one thread a number of the input.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::pool::{Dims, Pooling};
use var_kernel::parts::{Kernel, Launch};

use super::PoolBackward;
use crate::grad::kernel_sources::kernel_source;

kernel_source!("pool", "kernel.cu");

const MAX_POOL: Kernel = Kernel::new(&SOURCE, "max_pool_dx");
const AVERAGE_POOL: Kernel = Kernel::new(&SOURCE, "average_pool_dx");

impl PoolBackward for Cuda {
    fn pool_backward(
        &self,
        dx: &mut Remote,
        dy: &Remote,
        x: &Remote,
        pooling: Pooling,
        d: Dims,
    ) -> Result<(), CudaError> {
        assert_eq!(dx.len(), x.len(), "pool_backward: dx is not as x");
        d.check(dy.len(), x.len());
        if dy.is_empty() || dx.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.operand_f32(x, x.len())?;
        let kernel = match pooling {
            Pooling::Max => MAX_POOL,
            Pooling::Average => AVERAGE_POOL,
        };
        let [height, width] = d.out_grid();
        let launch = Launch::for_each(kernel, dx.len()).slice(dx).slice(dy).address(x);
        let launch = launch.size(d.height).size(d.width).size(d.channels);
        let launch = launch.size(d.kernel).size(d.stride).size(d.padding);
        let launch = launch.size(height).size(width).size(d.into.first).size(d.into.of);
        self.launch(launch.length(dx.len()), [(dx, Dtype::F32)])
    }
}
