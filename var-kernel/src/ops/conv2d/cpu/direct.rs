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

/// The most output channels of a task, a multiple of two vectors.
const COLUMNS: usize = 320;

/// The most input numbers that one packed block of a product has in a row.
const DEPTH: usize = 320;

/// How a product's k is cut into runs of input channels.
#[derive(Clone, Copy)]
struct Runs {
    /// Taps of the kernel.
    taps: usize,
    /// Input channels of a run; the last run is filled up with zeros.
    channels: usize,
    /// Runs.
    count: usize,
}

impl Runs {
    fn of(d: Dims) -> Self {
        let taps = d.kernel * d.kernel;
        let most = (DEPTH / taps).next_multiple_of(LANES) - LANES;
        let most = if taps == 1 { DEPTH } else { most };
        let count = d.inner.div_ceil(most).max(1);
        let channels = match count {
            1 => d.inner,
            _ => d.inner.div_ceil(count).next_multiple_of(LANES),
        };
        Self { taps, channels, count }
    }

    fn depth(self) -> usize {
        self.taps * self.channels
    }
}

/// Floats of scratch memory: the packed weights.
pub(super) fn scratch(d: Dims) -> usize {
    let runs = Runs::of(d);
    runs.count * right_len(d.outer, runs.depth())
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
    let runs = Runs::of(d);
    let isa = cpu.isa;
    let weight = Rows { matrix: weight, stride: d.inner * runs.taps };
    let width = right_len(d.outer, runs.depth());
    cpu.for_each_tile(scratch, width, 1, LANES * runs.depth(), |tile, scratch| {
        isa.run(PackWeights { tile, weight, d, runs, scratch });
    });
    let weight = &*scratch;
    let columns = d.outer.div_ceil(d.outer.div_ceil(COLUMNS)).next_multiple_of(2 * LANES);
    cpu.for_each_tile(out, d.outer, ROWS, columns, |tile, scratch| {
        isa.run(Block { tile, x, weight, bias, residual, d, runs, scratch });
    });
}

/// One run's weights for sixteen output channels.
struct PackWeights<'a> {
    tile: Tile<'a>,
    weight: Rows<'a>,
    d: Dims,
    runs: Runs,
    scratch: &'a mut [f32],
}

impl Kernel for PackWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Runs { taps, channels, .. } = self.runs;
        let first_inner = self.tile.rows.start * channels;
        let first_outer = self.tile.columns.start / self.runs.depth();
        let (to, _) = self.tile.row(0).as_chunks_mut::<LANES>();
        let (natural, _) = self.scratch.as_chunks_mut::<LANES>();
        for block in (0..channels).step_by(LANES) {
            let count = LANES.min(channels - block);
            let inside = count.min(self.d.inner.saturating_sub(first_inner + block));
            let natural = &mut natural[..inside * taps];
            let inner = first_inner + block;
            widen(s, natural, self.weight, first_outer, self.d.outer, inner, taps);
            for tap in 0..taps {
                let to = &mut to[tap * channels + block..][..count];
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
    runs: Runs,
    scratch: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mut tile, x, weight, bias, residual, d, runs, scratch } = self;
        let (rows, columns) = (tile.rows.clone(), tile.columns.clone());
        let depth = runs.depth();
        let (left, _) = scratch.split_at_mut(left_len::<S>(rows.len(), depth));
        let mut cells = [Cell::default(); ROWS];
        for (cell, row) in cells.iter_mut().zip(rows.clone()) {
            *cell = Cell::of(row, d);
        }
        for run in 0..runs.count {
            for (panel, first) in (0..rows.len()).step_by(S::TILE_ROWS).enumerate() {
                let last = rows.len().min(first + S::TILE_ROWS);
                let left = &mut left[panel * S::TILE_ROWS * depth..][..S::TILE_ROWS * depth];
                for (tap, left) in left.chunks_exact_mut(S::TILE_ROWS * runs.channels).enumerate() {
                    let patches = Patches {
                        x,
                        cells: &cells,
                        down: tap / d.kernel,
                        right: tap % d.kernel,
                        first: run * runs.channels,
                        d,
                    };
                    pack_left(s, left, &patches, first..last, 0..runs.channels);
                }
            }
            let right = &weight[run * right_len(d.outer, depth) + columns.start * depth..];
            let start = if run == 0 { Start::Zero } else { Start::Output };
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

/// What one tap of the kernel sees from each output cell of a block: rows of input channels.
struct Patches<'a> {
    x: &'a [f32],
    cells: &'a [Cell; ROWS],
    down: usize,
    right: usize,
    first: usize,
    d: Dims,
}

impl Numbers for Patches<'_> {
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, row: usize, column: usize, length: usize) -> S::F32 {
        let Dims { height, width, inner, grid, .. } = self.d;
        let cell = self.cells[row];
        let (y, x) = (cell.y + self.down, cell.x + self.right);
        let doubled = usize::from(grid == Grid::Doubled);
        let channel = self.first + column;
        let outside = y == 0 || y > height << doubled || x == 0 || x > width << doubled;
        if outside || channel >= inner {
            return s.splat(0.0);
        }
        let (y, x) = ((y - 1) >> doubled, (x - 1) >> doubled);
        let length = length.min(inner - channel);
        let start = ((cell.picture + y) * width + x) * inner + channel;
        s.load_or(&self.x[start..][..length], 0.0)
    }
}
