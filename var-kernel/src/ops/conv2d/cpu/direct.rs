//! The formula as a matrix product: patches of the input, packed block by block, times the weights.
//!
//! Each output is one chain of fused multiply-adds, over runs of input channels, within a run over
//! the kernel's taps row by row, within a tap over the run's channels; then bias, then residual.

use super::geometry::{Finish, Geometry};
use super::weights::{Rows, widen};
use crate::cpu::matmul::{Numbers, Start, left_len, multiply, pack_left, right_len};
use crate::cpu::simd::{Kernel, LANES, Simd};
use crate::cpu::tiles::Tile;
use crate::cpu::{Cpu, Matrix};

/// Output cells of a task: a multiple of every instruction set's tile.
const ROWS: usize = 96;

/// The most rows that any instruction set's panel has.
const PANEL: usize = 12;

/// The most output channels of a task, a multiple of two vectors.
const COLUMNS: usize = 320;

/// The most input numbers that one packed block of a product has in a row.
const DEPTH: usize = 320;

/// How a product's k is cut into packed blocks.
///
/// A block reads whole runs of channels, which lie together in the input.
#[derive(Clone, Copy)]
struct Blocks {
    /// Taps of the kernel.
    taps: usize,
    /// Taps of a block: one, a row of the kernel or all.
    together: usize,
    /// Input channels of a run; the last run is filled up with zeros.
    channels: usize,
    /// Runs.
    runs: usize,
}

impl Blocks {
    fn of(g: Geometry) -> Self {
        let taps = g.taps();
        let runs = g.inner.div_ceil(DEPTH).max(1);
        let channels = match runs {
            1 => g.inner,
            _ => g.inner.div_ceil(runs).next_multiple_of(LANES),
        };
        let fits = |together: &usize| together * channels <= DEPTH;
        let together = [taps, g.kernel[1]].into_iter().find(fits).unwrap_or(1);
        Self { taps, together, channels, runs }
    }

    /// Length of a block along k.
    fn depth(self) -> usize {
        self.together * self.channels
    }

    /// Blocks of a run.
    fn of_run(self) -> usize {
        self.taps / self.together
    }
}

/// Floats of scratch memory: the packed weights.
pub(super) fn scratch(g: Geometry) -> usize {
    let blocks = Blocks::of(g);
    blocks.runs * blocks.of_run() * right_len(g.outer, blocks.depth())
}

/// The convolution.
pub(super) fn convolve(
    cpu: Cpu<'_>,
    out: &mut [f32],
    x: &[f32],
    weight: Matrix<'_>,
    finish: Finish<'_>,
    scratch: &mut [f32],
    g: Geometry,
) {
    let blocks = Blocks::of(g);
    let isa = cpu.isa;
    let weight = Rows { matrix: weight, stride: g.inner * blocks.taps };
    let (width, columns) = (right_len(g.outer, blocks.depth()), LANES * blocks.depth());
    cpu.for_each_tile(scratch, width, blocks.of_run(), columns, |tile, scratch| {
        isa.run(PackWeights { tile, weight, g, blocks, scratch });
    });
    let weight = &*scratch;
    let columns = g.outer.div_ceil(g.outer.div_ceil(COLUMNS)).next_multiple_of(2 * LANES);
    let within = finish.out_first..finish.out_first + g.outer;
    cpu.for_each_tile_within(out, finish.out_width, within, ROWS, columns, |tile, scratch| {
        isa.run(Block { tile, x, weight, finish, g, blocks, scratch });
    });
}

/// One run's weights for sixteen output channels.
struct PackWeights<'a> {
    tile: Tile<'a>,
    weight: Rows<'a>,
    g: Geometry,
    blocks: Blocks,
    scratch: &'a mut [f32],
}

impl Kernel for PackWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Blocks { taps, together, channels, .. } = self.blocks;
        let first_inner = self.tile.rows.start / self.blocks.of_run() * channels;
        let first_outer = self.tile.columns.start / self.blocks.depth();
        let (natural, _) = self.scratch.as_chunks_mut::<LANES>();
        for block in (0..channels).step_by(LANES) {
            let count = LANES.min(channels - block);
            let inside = count.min(self.g.inner.saturating_sub(first_inner + block));
            let natural = &mut natural[..inside * taps];
            let inner = first_inner + block;
            widen(s, natural, self.weight, first_outer, self.g.outer, inner, taps);
            for tap in 0..taps {
                let (to, _) = self.tile.row(tap / together).as_chunks_mut::<LANES>();
                let to = &mut to[tap % together * channels + block..][..count];
                for i in 0..count {
                    to[i] = if i < inside { natural[i * taps + tap] } else { [0.0; LANES] };
                }
            }
        }
    }
}

/// One block of output cells and channels.
struct Block<'a> {
    tile: Tile<'a>,
    x: &'a [f32],
    weight: &'a [f32],
    finish: Finish<'a>,
    g: Geometry,
    blocks: Blocks,
    scratch: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mut tile, x, weight, finish, g, blocks, scratch } = self;
        let Blocks { taps, together, channels, runs } = blocks;
        let (rows, depth) = (tile.rows.clone(), blocks.depth());
        let width = tile.columns.len();
        let first_column = tile.columns.start - finish.out_first;
        let (left, _) = scratch.split_at_mut(left_len::<S>(rows.len(), depth));
        let mut cells = [Cell::default(); ROWS];
        for (cell, row) in cells.iter_mut().zip(rows.clone()) {
            *cell = Cell::of(row, g);
        }
        for block in 0..runs * blocks.of_run() {
            let first_channel = block / blocks.of_run() * channels;
            let first_tap = block * together % taps;
            for (panel, first) in (0..rows.len()).step_by(S::TILE_ROWS).enumerate() {
                let cells = &cells[first..rows.len().min(first + S::TILE_ROWS)];
                let left = &mut left[panel * S::TILE_ROWS * depth..][..S::TILE_ROWS * depth];
                for (i, left) in left.chunks_exact_mut(S::TILE_ROWS * channels).enumerate() {
                    let patches = Patches::of(x, cells, first_tap + i, first_channel, g);
                    pack_left(s, left, &patches, 0..cells.len(), 0..channels);
                }
            }
            let right = &weight[block * right_len(g.outer, depth) + first_column * depth..];
            let start = if block == 0 { Start::Zero } else { Start::Output };
            multiply(s, &mut tile, 0..rows.len(), 0..width, left, right, depth, start);
        }
        for (i, row) in rows.enumerate() {
            let start = row * g.outer + first_column;
            let finish = Finish {
                bias: &finish.bias[first_column..][..width],
                residual: finish.residual.map(|residual| &residual[start..][..width]),
                ..finish
            };
            finish_row(s, tile.row(i), finish);
        }
    }
}

/// Adds bias and residual to a row of sums, then ReLU.
#[inline(always)]
fn finish_row<S: Simd>(s: S, row: &mut [f32], finish: Finish<'_>) {
    for (block, row) in row.chunks_mut(LANES).enumerate() {
        let range = block * LANES..block * LANES + row.len();
        let mut sum = s.add(s.load_or(row, 0.0), s.load_or(&finish.bias[range.clone()], 0.0));
        if let Some(residual) = finish.residual {
            sum = s.add(sum, s.load_or(&residual[range], 0.0));
        }
        if finish.relu {
            sum = s.max(sum, s.splat(0.0));
        }
        s.store_part(sum, row);
    }
}

/// Where an output cell's kernel begins, counted from the first row and column of the border.
#[derive(Clone, Copy, Default)]
struct Cell {
    picture: usize,
    y: usize,
    x: usize,
}

impl Cell {
    #[inline(always)]
    fn of(cell: usize, g: Geometry) -> Self {
        let [height, width] = g.out_grid;
        let (row, x) = (cell / width, cell % width);
        Self { picture: row / height, y: row % height * g.stride, x: x * g.stride }
    }
}

/// Input rows of one kernel tap, one row of channels for each output cell of a panel (im2col).
struct Patches<'a> {
    x: &'a [f32],
    /// Where each row begins in `x`; none outside the picture.
    starts: [Option<usize>; PANEL],
    /// Input channels from the first of the run on.
    channels: usize,
}

impl<'a> Patches<'a> {
    #[inline(always)]
    fn of(x: &'a [f32], cells: &[Cell], tap: usize, first: usize, g: Geometry) -> Self {
        let [_, width] = g.kernel;
        let mut starts = [None; PANEL];
        for (start, cell) in starts.iter_mut().zip(cells) {
            let place = g.cell(cell.picture, cell.y + tap / width, cell.x + tap % width);
            *start = place.map(|place| place + first);
        }
        Self { x, starts, channels: g.inner - first }
    }
}

impl Numbers for Patches<'_> {
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, row: usize, column: usize, length: usize) -> S::F32 {
        match self.starts[row] {
            Some(start) if column < self.channels => {
                let length = length.min(self.channels - column);
                s.load_or(&self.x[start + column..][..length], 0.0)
            }
            _ => s.splat(0.0),
        }
    }
}
