//! conv2d on the CPU, and code that other convolutions share.
//!
//! Which way a convolution is computed depends on one picture's sizes alone: never on the
//! instruction set, the threads or the batch, so those leave no trace in the numbers.

mod direct;
mod geometry;
mod weights;
mod winograd;

use core::convert::Infallible;

pub(crate) use self::geometry::{Finish, Geometry};
use super::{Conv2d, Dims, Grid};
use crate::cpu::{Cpu, Matrix};

impl Conv2d for Cpu<'_> {
    fn conv2d_scratch(&self, d: Dims) -> usize {
        scratch(d.geometry())
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
        let finish = Finish { bias, residual, relu: false, out_width: d.outer, out_first: 0 };
        convolve(*self, out, x, weight, finish, scratch, d.geometry());
        Ok(())
    }
}

/// Floats of scratch memory that [`convolve`] wants.
pub(crate) fn scratch(g: Geometry) -> usize {
    if winograd::serves(g) { winograd::scratch(g) } else { direct::scratch(g) }
}

/// Any convolution, its operands' lengths already checked.
///
/// # Panics
/// If there is less scratch memory than [`scratch`] says.
#[track_caller]
pub(crate) fn convolve(
    cpu: Cpu<'_>,
    out: &mut [f32],
    x: &[f32],
    weight: Matrix<'_>,
    finish: Finish<'_>,
    memory: &mut [f32],
    g: Geometry,
) {
    let wanted = scratch(g);
    assert!(memory.len() >= wanted, "scratch: {wanted} floats wanted, {} lent", memory.len());
    let memory = &mut memory[..wanted];
    if winograd::serves(g) {
        winograd::convolve(cpu, out, x, weight, finish, memory, g);
    } else {
        direct::convolve(cpu, out, x, weight, finish, memory, g);
    }
}

impl Dims {
    fn geometry(self) -> Geometry {
        let Self { batch, height, width, inner, outer, kernel, grid } = self;
        let (rows, columns) = self.out_grid();
        let (stride, border) = match grid {
            Grid::Halved => (2, 0),
            Grid::Same | Grid::Doubled => (1, kernel / 2),
        };
        Geometry {
            batch,
            height,
            width,
            doubled: grid == Grid::Doubled,
            inner,
            outer,
            kernel: [kernel; 2],
            stride,
            border: [border; 2],
            out_grid: [rows, columns],
        }
    }
}
