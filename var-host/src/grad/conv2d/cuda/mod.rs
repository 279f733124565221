//! Gradients of a convolution on a GPU, on tensor cores where the precision is half.

mod input;
mod narrow;
mod source;
mod tile;
mod weight;

use var_kernel::cuda::{Cuda, CudaError, CudaMatrix, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::conv2d::Dims;

use super::{Conv2dBackward, check};

#[cfg(all(test, feature = "cuda"))]
pub(in crate::grad) use self::source::SOURCE;

/// Weights lie on a GPU, and so does their gradient, as `outer × kernel × kernel × inner`.
impl Conv2dBackward for Cuda {
    fn conv2d_backward_scratch(&self, _: Dims) -> usize {
        0
    }

    fn conv2d_backward_x(
        &self,
        dx: &mut Remote,
        dout: &Remote,
        weight: CudaMatrix<'_>,
        _scratch: &mut Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        check(d, dx.len(), dout.len(), weight.len());
        if dx.is_empty() || dout.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        input::add(self, dx, dout, weight, d)
    }

    fn conv2d_backward_weight(
        &self,
        dweight: &mut Remote,
        dout: &Remote,
        x: &Remote,
        _scratch: &mut Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        check(d, x.len(), dout.len(), dweight.len());
        if x.is_empty() || dout.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        weight::add(self, dweight, dout, x, d)
    }
}
