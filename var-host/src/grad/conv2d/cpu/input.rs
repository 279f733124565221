//! The gradient of a 3×3 convolution's input: a convolution of the output's gradient, its weights
//! turned around, inner and outer channels exchanged.
//!
//! A halved output is one that was as large as the input and of which the odd cells were kept: zeros
//! stand in for the others. A doubled input's gradient is that of the doubled cells, four of which
//! add up.

use core::convert::Infallible;

use var_kernel::cpu::{Cpu, Matrix};
use var_kernel::ops::conv2d::{Conv2d, ConvEpilogue, Dims, Grid};

use crate::grad::sums::Sums;

/// Taps of the kernel.
const TAPS: usize = 9;

/// Sizes of the convolution that gives the gradient.
fn turned(d: Dims) -> Dims {
    let [height, width] = match d.grid {
        Grid::Doubled => d.out_grid(),
        Grid::Same | Grid::Halved | Grid::Strided { .. } => [d.height, d.width],
    };
    Dims { height, width, inner: d.outer, outer: d.inner, grid: Grid::Same, ..d }
}

/// Floats of the parts of the scratch memory: weights turned around, a bias of zeros, the halved
/// output's gradient with zeros between, the convolution's output, its own scratch memory.
fn parts(cpu: &Cpu<'_>, d: Dims) -> [usize; 5] {
    let turned = turned(d);
    let spread = match d.grid {
        Grid::Halved => d.batch * d.height * d.width * d.outer,
        Grid::Same | Grid::Doubled | Grid::Strided { .. } => 0,
    };
    [d.outer * d.inner * TAPS, d.inner, spread, turned.out_len(), cpu.conv2d_scratch(turned)]
}

pub(super) fn scratch(cpu: &Cpu<'_>, d: Dims) -> usize {
    parts(cpu, d).iter().sum()
}

pub(super) fn gradient(
    cpu: &Cpu<'_>,
    dx: &mut [f32],
    dout: &[f32],
    weight: Matrix<'_>,
    scratch: &mut [f32],
    d: Dims,
) -> Result<(), Infallible> {
    let mut rest = scratch;
    let [weights, bias, spread, out, scratch] = parts(cpu, d).map(|length| {
        let (part, after) = core::mem::take(&mut rest).split_at_mut(length);
        rest = after;
        part
    });
    turn(cpu, weights, weight, d);
    bias.fill(0.0);
    let dout = match d.grid {
        Grid::Halved => {
            spread_out(cpu, spread, dout, d);
            &*spread
        }
        Grid::Same | Grid::Doubled | Grid::Strided { .. } => dout,
    };
    cpu.conv2d(out, dout, Matrix::F32(weights), bias, ConvEpilogue::None, scratch, turned(d))?;
    match d.grid {
        Grid::Same | Grid::Halved | Grid::Strided { .. } => cpu.add_scaled(dx, out, 1.0)?,
        Grid::Doubled => add_up(cpu, dx, out, d),
    }
    Ok(())
}

/// `to[i, o, tap] = weight[o, i, 8 − tap]`
fn turn(cpu: &Cpu<'_>, to: &mut [f32], weight: Matrix<'_>, d: Dims) {
    cpu.for_each_run(to, d.outer * TAPS, |i, to, _| {
        for (o, to) in to.chunks_exact_mut(TAPS).enumerate() {
            let start = (o * d.inner + i) * TAPS;
            match weight {
                Matrix::F32(weight) => {
                    to.copy_from_slice(&weight[start..start + TAPS]);
                    to.reverse();
                }
                _ => (0..TAPS).for_each(|tap| to[TAPS - 1 - tap] = weight.at(start + tap)),
            }
        }
    });
}

/// The halved output's gradient at the odd cells of the input's grid, zeros elsewhere.
fn spread_out(cpu: &Cpu<'_>, to: &mut [f32], dout: &[f32], d: Dims) {
    let line = d.width * d.outer;
    cpu.for_each_run(to, line, |number, to, _| {
        to.fill(0.0);
        if number % 2 == 1 {
            let from = &dout[number / 2 * (line / 2)..][..line / 2];
            let cells = to.chunks_exact_mut(d.outer).skip(1).step_by(2);
            for (to, from) in cells.zip(from.chunks_exact(d.outer)) {
                to.copy_from_slice(from);
            }
        }
    });
}

/// Adds to each cell the four it was doubled to.
fn add_up(cpu: &Cpu<'_>, dx: &mut [f32], doubled: &[f32], d: Dims) {
    let line = d.width * d.inner;
    cpu.for_each_run(dx, line, |number, dx, _| {
        let (upper, lower) = doubled[number * 4 * line..][..4 * line].split_at(2 * line);
        for (x, dx) in dx.chunks_exact_mut(d.inner).enumerate() {
            let four =
                [upper, lower].map(|line| line[2 * x * d.inner..][..2 * d.inner].split_at(d.inner));
            for (i, dx) in dx.iter_mut().enumerate() {
                let [upper, lower] = four.map(|(left, right)| left[i] + right[i]);
                *dx += upper + lower;
            }
        }
    });
}
