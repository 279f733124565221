//! conv2d on the CPU.
//!
//! By Winograd's method or by the formula: which depends on one image's sizes alone, never on the
//! instruction set, the threads or the batch, so those leave no trace in the numbers. The formula has two
//! implementations, which give the same bits.

mod direct;
mod geometry;
mod rgb;
mod weights;
pub(crate) mod winograd;

use core::convert::Infallible;

use self::geometry::{Geometry, OutputEpilogue};
use super::{Conv2d, ConvEpilogue, Dims, Grid};
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
        epilogue: ConvEpilogue<'_, [f32]>,
        scratch: &mut [f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.len(), bias.len(), epilogue);
        self.begin("conv2d", d.multiply_adds(), 4 * (out.len() + x.len()) + weight.bytes());
        let (residual, channels) = (epilogue.residual(), d.channels());
        let relu = matches!(epilogue, ConvEpilogue::Relu);
        let (out_width, out_first) = (channels.of, channels.first);
        let epilogue = OutputEpilogue { bias, residual, relu, out_width, out_first };
        convolve(*self, out, x, weight, epilogue, scratch, d.geometry());
        Ok(())
    }
}

/// Floats of scratch memory that [`convolve`] wants.
fn scratch(g: Geometry) -> usize {
    if winograd::serves(g) { winograd::scratch(g) } else { direct::scratch(g) }
}

/// Floats of scratch memory that a thread wants at least.
pub(crate) fn scratch_len(d: Dims) -> usize {
    let g = d.geometry();
    if winograd::serves(g) { winograd::scratch_len(g) } else { direct::scratch_len(g) }
}

/// Any convolution, its operands' lengths already checked.
///
/// # Panics
/// If there is less scratch memory than [`scratch`] says.
#[track_caller]
fn convolve(
    cpu: Cpu<'_>,
    out: &mut [f32],
    x: &[f32],
    weight: Matrix<'_>,
    epilogue: OutputEpilogue<'_>,
    memory: &mut [f32],
    g: Geometry,
) {
    let wanted = scratch(g);
    assert!(memory.len() >= wanted, "scratch: {wanted} floats wanted, {} lent", memory.len());
    let memory = &mut memory[..wanted];
    if winograd::serves(g) {
        winograd::convolve(cpu, out, x, weight, epilogue, memory, g);
    } else if rgb::serves(g) && cpu.workers.scratch_len() >= rgb::scratch_len(g) {
        rgb::convolve(cpu, out, x, weight, epilogue, g);
    } else {
        direct::convolve(cpu, out, x, weight, epilogue, memory, g);
    }
}

impl Dims {
    fn geometry(self) -> Geometry {
        let Self { batch, height, width, inner, outer, kernel, grid, .. } = self;
        let (out_grid, (stride, border)) = (self.out_grid(), self.stride_and_border());
        let doubled = grid == Grid::Doubled;
        Geometry { batch, height, width, doubled, inner, outer, kernel, stride, border, out_grid }
    }
}
