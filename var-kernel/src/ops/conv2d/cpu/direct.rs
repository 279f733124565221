//! The formula as a matrix product: patches of the input, packed block by block, times the weights.
//!
//! Each output is one chain of fused multiply-adds, over runs of input channels, within a run over
//! the kernel's taps row by row, within a tap over the run's channels; then bias, then residual.

use super::geometry::{Geometry, OutputEpilogue};
use super::weights::widen;
use crate::cpu::matmul::RowMajorWeights;
use crate::cpu::matmul::{Initial, LoadElements, multiply, pack_a, packed_a_len, packed_b_len};
use crate::cpu::simd::{LANES, Simd, SimdKernel};
use crate::cpu::tiles::Tile;
use crate::cpu::{Cpu, Matrix};

/// The most output cells of a task: a multiple of every instruction set's tile.
const MC: usize = 96;

/// The most rows that any instruction set's panel has.
const PANEL: usize = 12;

/// The most output channels of a task, a multiple of two vectors.
const NC: usize = 320;

/// The most input numbers that one packed block of a product has in a row.
const KC: usize = 320;

/// How a product's k is cut into packed blocks.
///
/// A block reads whole runs of channels, which lie together in the input.
#[derive(Clone, Copy)]
pub(super) struct DepthBlocks {
    /// Taps of the kernel.
    pub(super) taps: usize,
    /// Taps of a block: one, a row of the kernel or all.
    together: usize,
    /// Input channels of a run; the last run is filled up with zeros.
    pub(super) channels: usize,
    /// Runs.
    runs: usize,
}

impl DepthBlocks {
    pub(super) fn of(g: Geometry) -> Self {
        let taps = g.taps();
        let runs = g.inner.div_ceil(KC).max(1);
        let channels = match runs {
            1 => g.inner,
            _ => g.inner.div_ceil(runs).next_multiple_of(LANES),
        };
        let fits = |together: &usize| together * channels <= KC;
        let together = [taps, g.kernel[1]].into_iter().find(fits).unwrap_or(1);
        Self { taps, together, channels, runs }
    }

    /// Length of a chain.
    pub(super) fn whole_depth(self) -> usize {
        self.runs * self.taps * self.channels
    }

    /// Input channel and tap of the chain's factor `k`; past the last channel it is zero.
    pub(super) fn channel_and_tap(self, k: usize) -> (usize, usize) {
        let run = k / self.channels / self.taps;
        (run * self.channels + k % self.channels, k / self.channels % self.taps)
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
    let blocks = DepthBlocks::of(g);
    blocks.runs * blocks.of_run() * packed_b_len(g.outer, blocks.depth())
}

/// Floats of scratch memory that a thread wants at least: a panel of cells, or sixteen output channels'
/// weights for as many input channels.
pub(super) fn scratch_len(g: Geometry) -> usize {
    let blocks = DepthBlocks::of(g);
    (PANEL * blocks.depth()).max(LANES * LANES * blocks.taps)
}

/// The convolution.
pub(super) fn convolve(
    cpu: Cpu<'_>,
    out: &mut [f32],
    x: &[f32],
    weight: Matrix<'_>,
    epilogue: OutputEpilogue<'_>,
    scratch: &mut [f32],
    g: Geometry,
) {
    let blocks = DepthBlocks::of(g);
    let lent = cpu.scratch_len("conv2d", scratch_len(g));
    let cells = (lent / blocks.depth().max(1) / PANEL * PANEL).min(MC);
    let isa = cpu.isa;
    let weight = RowMajorWeights { matrix: weight, stride: g.inner * blocks.taps };
    let (width, columns) = (packed_b_len(g.outer, blocks.depth()), LANES * blocks.depth());
    cpu.for_each_tile(scratch, width, blocks.of_run(), columns, |tile, scratch| {
        isa.run(PackWeights { tile, weight, g, blocks, scratch });
    });
    let weight = &*scratch;
    let columns = g.outer.div_ceil(g.outer.div_ceil(NC)).next_multiple_of(2 * LANES);
    let within = epilogue.out_first..epilogue.out_first + g.outer;
    cpu.for_each_tile_within(out, epilogue.out_width, within, cells, columns, |tile, scratch| {
        isa.run(OutputBlock { tile, x, weight, epilogue, g, blocks, scratch });
    });
}

/// One run's weights for sixteen output channels.
struct PackWeights<'a> {
    tile: Tile<'a>,
    weight: RowMajorWeights<'a>,
    g: Geometry,
    blocks: DepthBlocks,
    scratch: &'a mut [f32],
}

impl SimdKernel for PackWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let DepthBlocks { taps, together, channels, .. } = self.blocks;
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
struct OutputBlock<'a> {
    tile: Tile<'a>,
    x: &'a [f32],
    weight: &'a [f32],
    epilogue: OutputEpilogue<'a>,
    g: Geometry,
    blocks: DepthBlocks,
    scratch: &'a mut [f32],
}

impl SimdKernel for OutputBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mut tile, x, weight, epilogue, g, blocks, scratch } = self;
        let DepthBlocks { taps, together, channels, runs } = blocks;
        let (rows, depth) = (tile.rows.clone(), blocks.depth());
        let width = tile.columns.len();
        let first_column = tile.columns.start - epilogue.out_first;
        let (a, _) = scratch.split_at_mut(packed_a_len::<S>(rows.len(), depth));
        let mut cells = [KernelOrigin::default(); MC];
        for (cell, row) in cells.iter_mut().zip(rows.clone()) {
            *cell = KernelOrigin::of(row, g);
        }
        for block in 0..runs * blocks.of_run() {
            let first_channel = block / blocks.of_run() * channels;
            let first_tap = block * together % taps;
            for (panel, first) in (0..rows.len()).step_by(S::MR).enumerate() {
                let cells = &cells[first..rows.len().min(first + S::MR)];
                let a = &mut a[panel * S::MR * depth..][..S::MR * depth];
                for (i, a) in a.chunks_exact_mut(S::MR * channels).enumerate() {
                    let patches = Patches::of(x, cells, first_tap + i, first_channel, g);
                    pack_a(s, a, &patches, 0..cells.len(), 0..channels);
                }
            }
            let b = &weight[block * packed_b_len(g.outer, depth) + first_column * depth..];
            let start = if block == 0 { Initial::Zero } else { Initial::Output };
            multiply(s, &mut tile, 0..rows.len(), 0..width, a, b, depth, start);
        }
        for (i, row) in rows.enumerate() {
            let start = row * g.outer + first_column;
            let epilogue = OutputEpilogue {
                bias: &epilogue.bias[first_column..][..width],
                residual: epilogue.residual.map(|residual| &residual[start..][..width]),
                ..epilogue
            };
            finish_row(s, tile.row(i), epilogue);
        }
    }
}

/// Adds bias and residual to a row of sums, then ReLU.
#[inline(always)]
fn finish_row<S: Simd>(s: S, row: &mut [f32], epilogue: OutputEpilogue<'_>) {
    for (block, row) in row.chunks_mut(LANES).enumerate() {
        let range = block * LANES..block * LANES + row.len();
        let mut sum = s.add(s.load_or(row, 0.0), s.load_or(&epilogue.bias[range.clone()], 0.0));
        if let Some(residual) = epilogue.residual {
            sum = s.add(sum, s.load_or(&residual[range], 0.0));
        }
        if epilogue.relu {
            sum = s.max(sum, s.splat(0.0));
        }
        s.store_part(sum, row);
    }
}

/// Where an output cell's kernel begins, counted from the first row and column of the border.
#[derive(Clone, Copy, Default)]
struct KernelOrigin {
    picture: usize,
    y: usize,
    x: usize,
}

impl KernelOrigin {
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
    /// Where each row begins in `x`; none outside the image.
    starts: [Option<usize>; PANEL],
    /// Input channels from the first of the run on.
    channels: usize,
}

impl<'a> Patches<'a> {
    #[inline(always)]
    fn of(x: &'a [f32], cells: &[KernelOrigin], tap: usize, first: usize, g: Geometry) -> Self {
        let [_, width] = g.kernel;
        let mut starts = [None; PANEL];
        for (start, cell) in starts.iter_mut().zip(cells) {
            let place = g.cell(cell.picture, cell.y + tap / width, cell.x + tap % width);
            *start = place.map(|place| place + first);
        }
        Self { x, starts, channels: g.inner - first }
    }
}

impl LoadElements for Patches<'_> {
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
