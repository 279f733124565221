//! The formula as a matrix product: patches of the input, packed block by block, times the weights.
//!
//! Each output is one chain of fused multiply-adds, over runs of input channels, within a run over
//! the kernel's taps row by row, within a tap over the run's channels; then bias, then residual.

use super::weights::{Rows, widen};
use crate::cpu::matmul::{Numbers, Start, left_len, multiply, pack_left, right_len};
use crate::cpu::simd::{Kernel, LANES, Simd};
use crate::cpu::workers::Tile;
use crate::cpu::{Cpu, Matrix};
use crate::ops::conv2d::{Dims, Grid};

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
    fn of(d: Dims) -> Self {
        let taps = d.kernel * d.kernel;
        let runs = d.inner.div_ceil(DEPTH).max(1);
        let channels = match runs {
            1 => d.inner,
            _ => d.inner.div_ceil(runs).next_multiple_of(LANES),
        };
        let fits = |together: &usize| together * channels <= DEPTH;
        let together = [taps, d.kernel].into_iter().find(fits).unwrap_or(1);
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
pub(super) fn scratch(d: Dims) -> usize {
    let blocks = Blocks::of(d);
    blocks.runs * blocks.of_run() * right_len(d.outer, blocks.depth())
}

/// The convolution.
pub(super) fn conv2d(
    cpu: Cpu<'_>,
    out: &mut [f32],
    x: &[f32],
    weight: Matrix<'_>,
    bias: &[f32],
    residual: Option<&[f32]>,
    scratch: &mut [f32],
    d: Dims,
) {
    let blocks = Blocks::of(d);
    let isa = cpu.isa;
    let weight = Rows { matrix: weight, stride: d.inner * blocks.taps };
    let (width, columns) = (right_len(d.outer, blocks.depth()), LANES * blocks.depth());
    cpu.for_each_tile(scratch, width, blocks.of_run(), columns, |tile, scratch| {
        isa.run(PackWeights { tile, weight, d, blocks, scratch });
    });
    let weight = &*scratch;
    let columns = d.outer.div_ceil(d.outer.div_ceil(COLUMNS)).next_multiple_of(2 * LANES);
    cpu.for_each_tile(out, d.outer, ROWS, columns, |tile, scratch| {
        isa.run(Block { tile, x, weight, bias, residual, d, blocks, scratch });
    });
}

/// One run's weights for sixteen output channels.
struct PackWeights<'a> {
    tile: Tile<'a>,
    weight: Rows<'a>,
    d: Dims,
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
            let inside = count.min(self.d.inner.saturating_sub(first_inner + block));
            let natural = &mut natural[..inside * taps];
            let inner = first_inner + block;
            widen(s, natural, self.weight, first_outer, self.d.outer, inner, taps);
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
    bias: &'a [f32],
    residual: Option<&'a [f32]>,
    d: Dims,
    blocks: Blocks,
    scratch: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mut tile, x, weight, bias, residual, d, blocks, scratch } = self;
        let Blocks { taps, together, channels, runs } = blocks;
        let (rows, columns, depth) = (tile.rows.clone(), tile.columns.clone(), blocks.depth());
        let (left, _) = scratch.split_at_mut(left_len::<S>(rows.len(), depth));
        let mut cells = [Cell::default(); ROWS];
        for (cell, row) in cells.iter_mut().zip(rows.clone()) {
            *cell = Cell::of(row, d);
        }
        for block in 0..runs * blocks.of_run() {
            let first_channel = block / blocks.of_run() * channels;
            let first_tap = block * together % taps;
            for (panel, first) in (0..rows.len()).step_by(S::TILE_ROWS).enumerate() {
                let cells = &cells[first..rows.len().min(first + S::TILE_ROWS)];
                let left = &mut left[panel * S::TILE_ROWS * depth..][..S::TILE_ROWS * depth];
                for (i, left) in left.chunks_exact_mut(S::TILE_ROWS * channels).enumerate() {
                    let patches = Patches::of(x, cells, first_tap + i, first_channel, d);
                    pack_left(s, left, &patches, 0..cells.len(), 0..channels);
                }
            }
            let right = &weight[block * right_len(d.outer, depth) + columns.start * depth..];
            let start = if block == 0 { Start::Zero } else { Start::Output };
            multiply(s, &mut tile, 0..rows.len(), 0..columns.len(), left, right, depth, start);
        }
        let bias = &bias[columns.clone()];
        for (i, row) in rows.enumerate() {
            let start = row * d.outer + columns.start;
            let residual = residual.map(|residual| &residual[start..start + columns.len()]);
            finish(s, tile.row(i), bias, residual);
        }
    }
}

/// Adds bias and residual to a row of sums.
#[inline(always)]
fn finish<S: Simd>(s: S, row: &mut [f32], bias: &[f32], residual: Option<&[f32]>) {
    for (block, row) in row.chunks_mut(LANES).enumerate() {
        let range = block * LANES..block * LANES + row.len();
        let mut sum = s.add(s.load_or(row, 0.0), s.load_or(&bias[range.clone()], 0.0));
        if let Some(residual) = residual {
            sum = s.add(sum, s.load_or(&residual[range], 0.0));
        }
        s.store_part(sum, row);
    }
}

/// Where an output cell's kernel begins on the input's grid (the doubled one, if it is doubled).
#[derive(Clone, Copy, Default)]
struct Cell {
    /// The picture's first row among the rows of all pictures.
    picture: usize,
    /// Row of the kernel's first tap, counted from one above the picture.
    y: usize,
    /// Column of the kernel's first tap, counted from one left of the picture.
    x: usize,
}

impl Cell {
    #[inline(always)]
    fn of(cell: usize, d: Dims) -> Self {
        let (height, width) = d.out_grid();
        let (row, x) = (cell / width, cell % width);
        let (picture, y) = (row / height * d.height, row % height);
        match (d.grid, d.kernel) {
            (Grid::Halved, _) => Self { picture, y: 2 * y + 1, x: 2 * x + 1 },
            (_, 1) => Self { picture, y: y + 1, x: x + 1 },
            _ => Self { picture, y, x },
        }
    }
}

/// What one tap of the kernel sees from each output cell of a panel: rows of input channels.
struct Patches<'a> {
    x: &'a [f32],
    /// Where each row begins in `x`; none outside the picture.
    starts: [Option<usize>; PANEL],
    /// Input channels from the first of the run on.
    channels: usize,
}

impl<'a> Patches<'a> {
    #[inline(always)]
    fn of(x: &'a [f32], cells: &[Cell], tap: usize, first: usize, d: Dims) -> Self {
        let Dims { height, width, inner, grid, kernel, .. } = d;
        let doubled = usize::from(grid == Grid::Doubled);
        let mut starts = [None; PANEL];
        for (start, cell) in starts.iter_mut().zip(cells) {
            let (y, x) = (cell.y + tap / kernel, cell.x + tap % kernel);
            if (1..=height << doubled).contains(&y) && (1..=width << doubled).contains(&x) {
                let (y, x) = ((y - 1) >> doubled, (x - 1) >> doubled);
                *start = Some(((cell.picture + y) * width + x) * inner + first);
            }
        }
        Self { x, starts, channels: inner - first }
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
