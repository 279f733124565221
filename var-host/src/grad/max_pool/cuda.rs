//! The gradient of pooling on a card: one thread a number of the input.

use var_kernel::cuda::{Cuda, CudaError, Element, Kernel, Launch, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::max_pool::Dims;

use super::MaxPoolBackward;
use crate::grad::texts::MAX_POOL;

const BACKWARD: Kernel = Kernel::new(&MAX_POOL, "max_pool_backward");

impl MaxPoolBackward for Cuda {
    fn max_pool_backward(
        &self,
        dx: &mut Remote,
        dy: &Remote,
        x: &Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        assert_eq!(dx.len(), x.len(), "max_pool_backward: dx is not as x");
        d.check(dy.len(), x.len());
        if dy.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let (dy, x) = (self.single(dy, dy.len())?, self.single(x, x.len())?);
        let launch = Launch::for_each(BACKWARD, dx.len()).run(dx).address(dy).address(x);
        let launch = launch.size(d.height).size(d.width).size(d.channels).length(dx.len());
        self.launch(launch, [(dx, Element::F32)])
    }
}
