//! The gradient of a 3×3 convolution's weights: the output's gradient, turned, times patches of the
//! input, packed block by block.
//!
//! Each weight's is one chain over the output's cells, in their order.

use core::ops::Range;

use var_kernel::cpu::Cpu;
use var_kernel::cpu::matmul::product::{Operands, Size};
use var_kernel::cpu::matmul::{RowMajor, Start, pack_left_transposed};
use var_kernel::cpu::simd::{LANES, Simd};
use var_kernel::ops::conv2d::{Dims, Grid};

/// Side of the kernel.
const SIDE: usize = 3;

/// Taps of the kernel.
const TAPS: usize = SIDE * SIDE;

/// Floats of scratch memory: the gradient with the taps before the input channels.
pub(super) fn scratch(d: Dims) -> usize {
    d.outer * d.inner * TAPS
}

pub(super) fn gradient(
    cpu: &Cpu<'_>,
    dweight: &mut [f32],
    dout: &[f32],
    x: &[f32],
    scratch: &mut [f32],
    d: Dims,
) {
    let (height, width) = d.out_grid();
    let by_taps = &mut scratch[..d.outer * d.inner * TAPS];
    let operands = Patches { dout: RowMajor { values: dout, stride: d.outer }, x, d };
    let size = Size { rows: d.outer, columns: TAPS * d.inner, depth: d.batch * height * width };
    cpu.product(by_taps, &operands, size, Start::Zero);
    let by_taps = &*by_taps;
    cpu.for_each_run(dweight, d.inner * TAPS, |o, dweight, _| {
        let from = &by_taps[o * d.inner * TAPS..][..d.inner * TAPS];
        for (i, dweight) in dweight.chunks_exact_mut(TAPS).enumerate() {
            for (tap, dweight) in dweight.iter_mut().enumerate() {
                *dweight += from[tap * d.inner + i];
            }
        }
    });
}

/// `doutᵀ · patches`: a row for each output channel, a column for each tap and input channel.
struct Patches<'a> {
    dout: RowMajor<'a, f32>,
    x: &'a [f32],
    d: Dims,
}

impl Operands for Patches<'_> {
    #[inline(always)]
    fn pack_left<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>) {
        pack_left_transposed(s, to, &self.dout, rows, depth);
    }

    #[inline(always)]
    fn pack_right<S: Simd>(
        &self,
        s: S,
        to: &mut [f32],
        columns: Range<usize>,
        depth: Range<usize>,
    ) {
        let (inner, length) = (self.d.inner, depth.len());
        let (to, _) = to.as_chunks_mut::<LANES>();
        for (panel, first) in columns.clone().step_by(LANES).enumerate() {
            let to = &mut to[panel * length..][..length];
            let end = columns.end.min(first + LANES);
            if end - first < LANES {
                to.fill([0.0; LANES]);
            }
            // A panel's columns are runs of channels, each of one tap.
            let mut column = first;
            while column < end {
                let (tap, channel) = (column / inner, column % inner);
                let count = (end - column).min(inner - channel);
                let run = Run { tap, channel, lane: column - first, count };
                self.pack_run(s, to, run, depth.clone());
                column += count;
            }
        }
    }
}

/// Some neighbouring channels that one tap sees, and the lanes they go to.
#[derive(Clone, Copy)]
struct Run {
    tap: usize,
    channel: usize,
    lane: usize,
    count: usize,
}

impl Patches<'_> {
    /// Packs a run for each of the output's cells in `cells`, line by line.
    #[inline(always)]
    fn pack_run<S: Simd>(&self, s: S, to: &mut [[f32; LANES]], run: Run, cells: Range<usize>) {
        let Dims { height, width, inner, grid, .. } = self.d;
        let (out_height, out_width) = self.d.out_grid();
        let (down, right) = (run.tap / SIDE, run.tap % SIDE);
        let (stride, padding, doubled) = match grid {
            Grid::Same => (1, 1, 0),
            Grid::Halved => (2, 0, 0),
            Grid::Doubled => (1, 1, 1),
        };
        let (mut cell, mut to) = (cells.start, to);
        while cell < cells.end {
            let (line, column) = (cell / out_width, cell % out_width);
            let count = (out_width - column).min(cells.end - cell);
            let (here, later) = to.split_at_mut(count);
            (cell, to) = (cell + count, later);
            // Above the picture wraps around to a row far below it.
            let y = (line % out_height * stride + down).wrapping_sub(padding) >> doubled;
            let inside = y < height;
            let start = (line / out_height * height + if inside { y } else { 0 }) * width;
            for (i, to) in here.iter_mut().enumerate() {
                let x = ((column + i) * stride + right).wrapping_sub(padding) >> doubled;
                let lanes = &mut to[run.lane..run.lane + run.count];
                if inside && x < width {
                    let from = &self.x[(start + x) * inner + run.channel..][..run.count];
                    if run.count == LANES {
                        s.store_part(s.load_or(from, 0.0), lanes);
                    } else {
                        lanes.copy_from_slice(from);
                    }
                } else {
                    lanes.fill(0.0);
                }
            }
        }
    }
}
