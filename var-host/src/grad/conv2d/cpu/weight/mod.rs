//! The gradient of a 3×3 convolution's weights.
//!
//! By Winograd's method or by the formula: which depends on one image's sizes alone, never on the
//! instruction set, the threads or the batch.

mod blocks;
mod formula;
mod pack;
mod winograd;

use var_kernel::cpu::Cpu;
use var_kernel::ops::conv2d::Dims;

/// Floats of scratch memory that [`gradient`] wants.
pub(super) fn scratch(d: Dims) -> usize {
    if winograd::serves(d) { winograd::scratch(d) } else { formula::scratch(d) }
}

pub(super) fn gradient(
    cpu: &Cpu<'_>,
    dweight: &mut [f32],
    dout: &[f32],
    x: &[f32],
    scratch: &mut [f32],
    d: Dims,
) {
    if winograd::serves(d) {
        winograd::gradient(cpu, dweight, dout, x, scratch, d);
    } else {
        formula::gradient(cpu, dweight, dout, x, scratch, d);
    }
}
