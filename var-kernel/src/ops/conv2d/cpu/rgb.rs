//! Convolutions to three output channels, an image's: sixteen cells of a row are the lanes of a vector.
//!
//! With output channels in the lanes, as [`direct`](super::direct) has them, thirteen of sixteen would
//! be idle. Input rows are turned to `[channel][cell]` once and serve all rows of the kernel. Each output is
//! the same chain of fused multiply-adds as there.

use super::direct::DepthBlocks;
use super::geometry::{Geometry, OutputEpilogue};
use crate::cpu::matmul::RowMajorWeights;
use crate::cpu::matmul::{LoadElements, RowMajor};
use crate::cpu::simd::{LANES, Simd, SimdKernel};
use crate::cpu::tiles::Tile;
use crate::cpu::{Cpu, Matrix};

/// Output channels.
const OUTER: usize = 3;

/// Rows of outputs of a task: each task turns the rows that its kernel reaches over besides.
const ROWS: usize = 16;

/// Vectors of cells that are computed together at most.
const MAX_VECTORS: usize = 4;

/// Whether these sizes are served.
pub(super) fn serves(g: Geometry) -> bool {
    g.outer == OUTER && g.stride == 1 && !g.doubled && g.out_grid == [g.height, g.width]
}

/// Floats of scratch memory that a thread wants.
pub(super) fn scratch_len(g: Geometry) -> usize {
    let blocks = DepthBlocks::of(g);
    g.kernel[0] * g.inner * width_of_row(g) + blocks.whole_depth() * OUTER
}

/// Cells of a turned row: its border, and whole vectors for every instruction set.
fn width_of_row(g: Geometry) -> usize {
    // An odd number of vectors keeps channels from lying a power of two apart.
    let vectors = g.width.next_multiple_of(MAX_VECTORS * LANES) / LANES;
    (vectors + g.kernel[1].div_ceil(LANES)) * LANES
}

/// The convolution.
pub(super) fn convolve(
    cpu: Cpu<'_>,
    out: &mut [f32],
    x: &[f32],
    weight: Matrix<'_>,
    epilogue: OutputEpilogue<'_>,
    g: Geometry,
) {
    let isa = cpu.isa;
    let weight = RowMajorWeights { matrix: weight, stride: g.inner * g.taps() };
    let within = epilogue.out_first..epilogue.out_first + OUTER;
    let rows = ROWS.min(g.height);
    let image = g.height * g.width;
    for (picture, out) in out.chunks_exact_mut(image * epilogue.out_width).enumerate() {
        let x = &x[picture * image * g.inner..][..image * g.inner];
        let residual = epilogue.residual.map(|all| &all[picture * image * OUTER..]);
        let epilogue = OutputEpilogue { residual, ..epilogue };
        let within = within.clone();
        let cells = rows * g.width;
        cpu.for_each_tile_within(out, epilogue.out_width, within, cells, OUTER, |tile, scratch| {
            isa.run(OutputRows { tile, x, weight, epilogue, g, scratch });
        });
    }
}

/// Some rows of an image's outputs.
struct OutputRows<'a> {
    tile: Tile<'a>,
    x: &'a [f32],
    weight: RowMajorWeights<'a>,
    epilogue: OutputEpilogue<'a>,
    g: Geometry,
    scratch: &'a mut [f32],
}

impl SimdKernel for OutputRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match S::MR {
            12 => self.with::<S, MAX_VECTORS>(s),
            6 => self.with::<S, 2>(s),
            _ => self.with::<S, 1>(s),
        }
    }
}

impl OutputRows<'_> {
    #[inline(always)]
    fn with<S: Simd, const VECTORS: usize>(self, s: S) {
        let Self { mut tile, x, weight, epilogue, g, scratch } = self;
        let blocks = DepthBlocks::of(g);
        let row_len = g.inner * width_of_row(g);
        let (weights, rest) = scratch.split_at_mut(blocks.whole_depth() * OUTER);
        let (weights, _) = weights.as_chunks_mut::<OUTER>();
        let turned = &mut rest[..g.kernel[0] * row_len];
        for (k, weights) in weights.iter_mut().enumerate() {
            let (channel, tap) = blocks.channel_and_tap(k);
            for (o, weight_of_k) in weights.iter_mut().enumerate() {
                let mut lanes = [0.0; LANES];
                if channel < g.inner {
                    s.store(weight.load(s, o, channel * blocks.taps + tap, 1), &mut lanes);
                }
                *weight_of_k = lanes[0];
            }
        }
        let first = tile.rows.start / g.width;
        let count = tile.rows.len() / g.width;
        for y in first..first + count {
            // Rows of the kernel that the output row before did not reach.
            let new = if y == first { 0 } else { g.kernel[0] - 1 };
            for dy in new..g.kernel[0] {
                let to = &mut turned[(y + dy) % g.kernel[0] * row_len..][..row_len];
                turn(s, to, x, y + dy, g);
            }
            let mut column = 0;
            while column < g.width {
                let sums = sums::<S, VECTORS>(s, turned, weights, y, column, blocks, g);
                let mut values = [[[0.0; LANES]; VECTORS]; OUTER];
                for o in 0..OUTER {
                    for v in 0..VECTORS {
                        s.store(sums[o][v], &mut values[o][v]);
                    }
                }
                for i in 0..(VECTORS * LANES).min(g.width - column) {
                    let cell = y * g.width + column + i;
                    let to = tile.row(cell - first * g.width);
                    for o in 0..OUTER {
                        let mut sum = values[o][i / LANES][i % LANES] + epilogue.bias[o];
                        if let Some(residual) = epilogue.residual {
                            sum += residual[cell * OUTER + o];
                        }
                        to[o] = if sum > 0.0 || !epilogue.relu { sum } else { 0.0 };
                    }
                }
                column += VECTORS * LANES;
            }
        }
    }
}

/// Turns row `y` of the bordered input, channels last, to `[channel][cell]`, border included.
#[inline(always)]
fn turn<S: Simd>(s: S, to: &mut [f32], x: &[f32], y: usize, g: Geometry) {
    let width = width_of_row(g);
    let border = g.border[1];
    to.fill(0.0);
    let Some(start) = g.cell(0, y, border) else { return };
    let row = RowMajor { values: &x[start..][..g.width * g.inner], stride: g.inner };
    for first in (0..g.width).step_by(LANES) {
        let cells = LANES.min(g.width - first);
        for channel in (0..g.inner).step_by(LANES) {
            let channels = LANES.min(g.inner - channel);
            let mut vectors = [s.splat(0.0); LANES];
            for i in 0..LANES {
                if i < cells {
                    vectors[i] = row.load(s, first + i, channel, channels);
                }
            }
            let vectors = s.transpose(vectors);
            for i in 0..LANES {
                if i < channels {
                    let at = (channel + i) * width + border + first;
                    s.store_part(vectors[i], &mut to[at..at + cells]);
                }
            }
        }
    }
}

/// Sums of the cells from `column` on of output row `y`, for each output channel.
#[inline(always)]
fn sums<S: Simd, const VECTORS: usize>(
    s: S,
    turned: &[f32],
    weights: &[[f32; OUTER]],
    y: usize,
    column: usize,
    blocks: DepthBlocks,
    g: Geometry,
) -> [[S::F32; VECTORS]; OUTER] {
    let width = width_of_row(g);
    let row_len = g.inner * width;
    let mut sums = [[s.splat(0.0); VECTORS]; OUTER];
    let channels = blocks.channels;
    for (number, weights) in weights.chunks_exact(channels).enumerate() {
        // One tap, one run of channels.
        let (first, tap) = blocks.channel_and_tap(number * channels);
        let row = (y + tap / g.kernel[1]) % g.kernel[0];
        let inside = channels.min(g.inner - first);
        let start = row * row_len + first * width + column + tap % g.kernel[1];
        for (i, weights) in weights[..inside].iter().enumerate() {
            let x = &turned[start + i * width..][..VECTORS * LANES];
            let (x, _) = x.as_chunks::<LANES>();
            for o in 0..OUTER {
                let weight = s.splat(weights[o]);
                for v in 0..VECTORS {
                    sums[o][v] = s.mul_add(s.load(&x[v]), weight, sums[o][v]);
                }
            }
        }
    }
    sums
}
