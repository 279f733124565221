//! By the formula: the output's gradient, turned, times the input, once for each tap.
//!
//! Some lines of both are packed with a border of zeros. The cells of a tap are then a part of the packed
//! input that begins a little later, so that nothing is packed twice for two taps: the sum runs over
//! the lines' cells and their borders, which add nothing. Each weight's gradient is a chain over the
//! cells of a chunk of lines, in their order; the chunks, which depend on the sizes alone, are added
//! up in their order.

use var_kernel::cpu::Cpu;
use var_kernel::ops::conv2d::Dims;
use var_kernel::parts::matmul::{Initial, Strided, multiply_strided};
use var_kernel::parts::simd::{LANES, Simd, SimdKernel};
use var_kernel::parts::tiles::Tile;

use super::blocks::SumBlocks;
use super::pack::{Grids, SIDE};

/// Taps of the kernel.
const TAPS: usize = SIDE * SIDE;

/// Cells that are packed at a time, about: two panels of the input and one of the output's gradient
/// fit the first-level cache.
const CELLS: usize = 256;

/// Output channels of a task at most.
const ROWS: usize = 48;

/// Input channels of a task at most.
const CHANNELS: usize = 160;

/// Floats of the chunks' sums at most (2 MiB), unless it is one chunk.
const SUMS: usize = 1 << 19;

/// Rows of sums are kept from lying a power of two apart, where they would push each other out of the
/// cache.
const SKEW: usize = LANES;

/// How the work is cut up.
#[derive(Clone, Copy)]
struct WeightGradientPlan {
    d: Dims,
    grids: Grids,
    /// Lines of the output that are packed together.
    lines: usize,
    /// Lines of a chunk, of all images and their borders.
    chunk: usize,
    /// Chunks.
    chunks: usize,
    blocks: SumBlocks,
}

impl WeightGradientPlan {
    fn of(d: Dims) -> Self {
        let grids = Grids::of(d);
        let blocks = SumBlocks::of(d, TAPS, ROWS, CHANNELS);
        let most = blocks.chunks_within(SUMS);
        let lines = (CELLS / grids.width).max(1);
        let chunk = grids.lines().div_ceil(most).next_multiple_of(lines).max(lines);
        let chunks = grids.lines().div_ceil(chunk);
        Self { d, grids, lines, chunk, chunks, blocks }
    }
}

/// Floats of scratch memory: the sums of all chunks.
pub(super) fn scratch(d: Dims) -> usize {
    let plan = WeightGradientPlan::of(d);
    plan.chunks * plan.blocks.height() * plan.blocks.width()
}

pub(super) fn gradient(
    cpu: &Cpu<'_>,
    dweight: &mut [f32],
    dout: &[f32],
    x: &[f32],
    scratch: &mut [f32],
    d: Dims,
) {
    let (isa, plan) = (cpu.isa(), WeightGradientPlan::of(d));
    let (height, width) = (plan.blocks.height(), plan.blocks.width());
    let sums = &mut scratch[..plan.chunks * height * width];
    if sums.is_empty() {
        return;
    }
    cpu.for_each_tile(sums, width, plan.blocks.rows, plan.blocks.columns(), |tile, scratch| {
        isa.run(PixelChunk { tile, dout, x, plan, scratch });
    });
    let sums = &*sums;
    cpu.for_each_run(dweight, d.inner * TAPS, |o, dweight, _| {
        for chunk in sums.chunks_exact(height * width) {
            let row = &chunk[o * width..][..width];
            for (i, dweight) in dweight.chunks_exact_mut(TAPS).enumerate() {
                let from = &row
                    [i / plan.blocks.channels * plan.blocks.columns() + i % plan.blocks.channels..];
                for (tap, dweight) in dweight.iter_mut().enumerate() {
                    *dweight += from[tap * plan.blocks.channels];
                }
            }
        }
    });
}

/// The sums of one chunk for some output and input channels.
struct PixelChunk<'a> {
    tile: Tile<'a>,
    dout: &'a [f32],
    x: &'a [f32],
    plan: WeightGradientPlan,
    scratch: &'a mut [f32],
}

impl SimdKernel for PixelChunk<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mut tile, dout, x, plan, scratch } = self;
        let WeightGradientPlan { d, grids, .. } = plan;
        let first_row = tile.rows.start % plan.blocks.height();
        let rows = first_row..d.outer.min(first_row + plan.blocks.rows);
        let first_channel = tile.columns.start / plan.blocks.columns() * plan.blocks.channels;
        let channels = first_channel..first_channel + plan.blocks.channels;
        let stride = plan.blocks.columns() + SKEW;
        let (sums, rest) = scratch.split_at_mut(plan.blocks.rows * stride);
        sums.fill(0.0);
        let input_len = grids.input_len(plan.lines) * plan.blocks.channels;
        assert!(input_len < rest.len(), "conv2d's gradient: lines of {} cells", grids.width);
        let (input, output) = rest.split_at_mut(input_len);
        let first_line = tile.rows.start / plan.blocks.height() * plan.chunk;
        let end = grids.lines().min(first_line + plan.chunk);
        for first in (first_line..end).step_by(plan.lines) {
            let lines = first..end.min(first + plan.lines);
            let (depth, apart) = (lines.len() * grids.width, grids.input_len(lines.len()));
            grids.pack_input(s, input, x, lines.clone(), channels.clone());
            grids.pack_output(s, output, dout, lines.clone(), rows.clone());
            for pair in (0..plan.blocks.channels).step_by(2 * LANES) {
                let count = (2 * LANES).min(plan.blocks.channels - pair);
                for tap in 0..TAPS {
                    let right = &input[pair * apart + grids.start(tap, lines.len()) * LANES..];
                    let column = tap * plan.blocks.channels + pair;
                    multiply_strided(
                        s,
                        &mut Strided { values: sums, stride },
                        0..rows.len(),
                        column..column + count,
                        output,
                        (right, apart),
                        depth,
                        Initial::Output,
                        (),
                    );
                }
            }
        }
        for (i, sums) in sums.chunks_exact(stride).enumerate() {
            tile.row(i).copy_from_slice(&sums[..plan.blocks.columns()]);
        }
    }
}
