//! Gradients of a convolution on the CPU. Those of a 1×1 kernel are a linear layer's.

mod input;
mod weight;

use core::convert::Infallible;

use var_kernel::cpu::{Cpu, Matrix};
use var_kernel::ops::conv2d::Dims;
use var_kernel::ops::linear;

use super::{Conv2dBackward, check};
use crate::grad::linear::LinearBackward;

impl Conv2dBackward for Cpu<'_> {
    fn conv2d_backward_scratch(&self, d: Dims) -> usize {
        if d.kernel == [1, 1] { 0 } else { input::scratch(self, d).max(weight::scratch(d)) }
    }

    fn conv2d_backward_x(
        &self,
        dx: &mut [f32],
        dout: &[f32],
        weight: Matrix<'_>,
        scratch: &mut [f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        check(d, dx.len(), dout.len(), weight.len());
        if d.kernel == [1, 1] {
            return self.linear_backward_x(dx, dout, weight, as_linear(d));
        }
        input::gradient(self, dx, dout, weight, scratch, d)
    }

    fn conv2d_backward_weight(
        &self,
        dweight: &mut [f32],
        dout: &[f32],
        x: &[f32],
        scratch: &mut [f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        check(d, x.len(), dout.len(), dweight.len());
        if d.kernel == [1, 1] {
            return self.linear_backward_weight(dweight, dout, x, as_linear(d));
        }
        weight::gradient(self, dweight, dout, x, scratch, d);
        Ok(())
    }
}

/// A 1×1 convolution's sizes as those of a product.
fn as_linear(d: Dims) -> linear::Dims {
    linear::Dims { rows: d.batch * d.height * d.width, inner: d.inner, outer: d.outer }
}
