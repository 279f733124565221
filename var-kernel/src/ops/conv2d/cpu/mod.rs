//! conv2d on the CPU.
//!
//! Which way a convolution is computed depends on one picture's sizes alone: never on the
//! instruction set, the threads or the batch, so those leave no trace in the numbers.

mod direct;
mod weights;
mod winograd;

use core::convert::Infallible;

use super::{Conv2d, Dims};
use crate::cpu::{Cpu, Matrix};

impl Conv2d for Cpu<'_> {
    fn conv2d_scratch(&self, d: Dims) -> usize {
        if winograd::serves(d) { winograd::scratch(d) } else { direct::scratch(d) }
    }

    fn conv2d(
        &self,
        out: &mut [f32],
        x: &[f32],
        weight: Matrix<'_>,
        bias: &[f32],
        residual: Option<&[f32]>,
        scratch: &mut [f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.len(), bias.len(), residual.map(<[f32]>::len));
        let wanted = self.conv2d_scratch(d);
        assert!(scratch.len() >= wanted, "scratch: {wanted} floats wanted, {} lent", scratch.len());
        let scratch = &mut scratch[..wanted];
        if winograd::serves(d) {
            winograd::conv2d(*self, out, x, weight, bias, residual, scratch, d);
        } else {
            direct::conv2d(*self, out, x, weight, bias, residual, scratch, d);
        }
        Ok(())
    }
}
