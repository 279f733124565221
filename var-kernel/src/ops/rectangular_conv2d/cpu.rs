//! rectangular_conv2d on the CPU: computed as [`crate::ops::conv2d`]'s are.

use core::convert::Infallible;

use super::{Activation, Dims, RectangularConv2d};
use crate::cpu::{Cpu, Matrix};
use crate::ops::conv2d::cpu::{self, Finish, Geometry};

impl RectangularConv2d for Cpu<'_> {
    fn rectangular_conv2d_scratch(&self, d: Dims) -> usize {
        cpu::scratch(d.geometry())
    }

    fn rectangular_conv2d(
        &self,
        out: &mut [f32],
        x: &[f32],
        weight: Matrix<'_>,
        bias: &[f32],
        activation: Activation,
        scratch: &mut [f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.len(), bias.len());
        let finish = Finish {
            bias,
            residual: None,
            relu: activation == Activation::Relu,
            out_width: d.into.of,
            out_first: d.into.first,
        };
        cpu::convolve(*self, out, x, weight, finish, scratch, d.geometry());
        Ok(())
    }
}

impl Dims {
    fn geometry(self) -> Geometry {
        let Self { batch, height, width, inner, outer, kernel, stride, padding, .. } = self;
        Geometry {
            batch,
            height,
            width,
            doubled: false,
            inner,
            outer,
            kernel,
            stride,
            border: padding,
            out_grid: self.out_grid(),
        }
    }
}
