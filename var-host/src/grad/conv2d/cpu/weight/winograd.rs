//! In a quarter of the multiplications: Winograd's F(4×4, 3×3), transposed.
//!
//! The forward pass makes a tile of 4×4 outputs by `Y = Aᵀ[(G g) ⊙ (Bᵀ d)]`, of its filter g and its 6×6
//! inputs d. So the filter's gradient is `Gᵀ[Σ (A dY) ⊙ (Bᵀ d)]` over the tiles of all images: a matrix
//! product for each of the 36 factors, output channels × tiles · tiles × input channels, and one
//! transform of their sums at the end.
//!
//! Each sum is a chain over the tiles of a chunk in their order; the chunks, which depend on the sizes
//! alone, are added up in their order.

use core::ops::Range;

use var_kernel::cpu::Cpu;
use var_kernel::ops::conv2d::{Dims, Grid};
use var_kernel::parts::matmul::{Initial, Strided, multiply_strided};
use var_kernel::parts::simd::{LANES, Simd, SimdKernel};
use var_kernel::parts::tiles::Tile;
use var_kernel::parts::winograd::{
    POINTS, PRODUCTS, SIDE, of_input, of_output_gradient, to_filter_gradient,
};

use super::blocks::SumBlocks;
use super::pack::sixteen;

/// Taps of the kernel.
const TAPS: usize = 9;

/// Output channels of a task at most.
const ROWS: usize = 48;

/// Input channels of a task at most: its sums fit the second-level cache.
const CHANNELS: usize = 64;

/// Floats of a task's factors, about.
const FACTORS: usize = 1 << 17;

/// Tiles that are transformed at a time: the sums are read and written once for all of them.
const TOGETHER: core::ops::RangeInclusive<usize> = 16..=96;

/// Floats of the chunks' sums at most (8 MiB), unless it is one chunk.
const SUMS: usize = 1 << 21;

/// Rows are kept from lying a power of two apart, where they would push each other out of the cache.
const SKEW: usize = LANES;

/// Whether the gradient is computed this way: where tiles that reach over the edge leave a third of the
/// multiplications saved.
pub(super) fn serves(d: Dims) -> bool {
    let [height, width] = d.out_grid();
    let tiles = height.div_ceil(SIDE) * width.div_ceil(SIDE);
    d.kernel == [3, 3]
        && matches!(d.grid, Grid::Same | Grid::Doubled)
        && 3 * PRODUCTS * tiles <= 2 * TAPS * height * width
}

/// How the work is cut up.
#[derive(Clone, Copy)]
struct TilePlan {
    d: Dims,
    /// Cells of an image along both axes.
    cells: [usize; 2],
    /// Tiles of an image along both axes.
    grid: [usize; 2],
    /// Tiles that are transformed at a time.
    together: usize,
    /// Tiles of all images.
    tiles: usize,
    /// Tiles of a chunk.
    chunk: usize,
    /// Chunks.
    chunks: usize,
    blocks: SumBlocks,
}

impl TilePlan {
    fn of(d: Dims) -> Self {
        let cells = d.out_grid();
        let grid = cells.map(|length| length.div_ceil(SIDE));
        let tiles = d.batch * grid[0] * grid[1];
        let blocks = SumBlocks::of(d, PRODUCTS, ROWS, CHANNELS);
        let (least, most) = TOGETHER.into_inner();
        let together = (FACTORS / (PRODUCTS * (blocks.rows + blocks.channels))).clamp(least, most);
        let most = blocks.chunks_within(SUMS);
        let chunk = tiles.div_ceil(most).next_multiple_of(together).max(together);
        let chunks = tiles.div_ceil(chunk);
        Self { d, cells, grid, together, tiles, chunk, chunks, blocks }
    }

    /// Image, row and column of a tile.
    #[inline(always)]
    fn place(self, tile: usize) -> (usize, [usize; 2]) {
        let [down, across] = self.grid;
        (tile / (down * across), [tile / across % down, tile % across])
    }

    /// The 6×6 inputs of a tile for sixteen channels from `channel` on, zeros outside the image.
    #[inline(always)]
    fn inputs<S: Simd>(
        self,
        s: S,
        x: &[f32],
        tile: usize,
        channel: usize,
    ) -> [[S::F32; POINTS]; POINTS] {
        let Dims { height, width, inner, grid, .. } = self.d;
        let (picture, [row, column]) = self.place(tile);
        let doubled = usize::from(grid == Grid::Doubled);
        let [grid_height, grid_width] = self.cells;
        let mut inputs = [[s.splat(0.0); POINTS]; POINTS];
        for i in 0..POINTS {
            // (Above the image it wraps around to a place far below.)
            let y = (row * SIDE + i).wrapping_sub(1);
            if y >= grid_height {
                continue;
            }
            let line = (picture * height + (y >> doubled)) * width;
            for j in 0..POINTS {
                let column = (column * SIDE + j).wrapping_sub(1);
                if column < grid_width {
                    inputs[i][j] = sixteen(s, x, (line + (column >> doubled)) * inner + channel);
                }
            }
        }
        inputs
    }

    /// The gradients of a tile's 4×4 outputs for sixteen channels from `channel` on, zeros outside the image.
    #[inline(always)]
    fn output_gradients<S: Simd>(
        self,
        s: S,
        dout: &[f32],
        tile: usize,
        channel: usize,
    ) -> [[S::F32; SIDE]; SIDE] {
        let (picture, [row, column]) = self.place(tile);
        let [height, width] = self.cells;
        let mut gradients = [[s.splat(0.0); SIDE]; SIDE];
        for i in 0..SIDE.min(height - row * SIDE) {
            let line = (picture * height + row * SIDE + i) * width + column * SIDE;
            for j in 0..SIDE.min(width - column * SIDE) {
                gradients[i][j] = sixteen(s, dout, (line + j) * self.d.outer + channel);
            }
        }
        gradients
    }
}

/// Floats of scratch memory: the sums of all chunks.
pub(super) fn scratch(d: Dims) -> usize {
    let plan = TilePlan::of(d);
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
    let (isa, plan) = (cpu.isa(), TilePlan::of(d));
    let (height, width) = (plan.blocks.height(), plan.blocks.width());
    let sums = &mut scratch[..plan.chunks * height * width];
    if sums.is_empty() {
        return;
    }
    cpu.for_each_tile(sums, width, plan.blocks.rows, plan.blocks.columns(), |tile, scratch| {
        isa.run(TileChunk { tile, dout, x, plan, scratch });
    });
    let sums = &*sums;
    cpu.for_each_run(dweight, d.inner * TAPS, |o, dweight, _| {
        isa.run(AddFilters { dweight, sums: &sums[o * width..], plan });
    });
}

/// The sums of one chunk for some output and input channels.
struct TileChunk<'a> {
    tile: Tile<'a>,
    dout: &'a [f32],
    x: &'a [f32],
    plan: TilePlan,
    scratch: &'a mut [f32],
}

impl SimdKernel for TileChunk<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mut tile, dout, x, plan, scratch } = self;
        let first_row = tile.rows.start % plan.blocks.height();
        let rows = first_row..plan.d.outer.min(first_row + plan.blocks.rows);
        let first_channel = tile.columns.start / plan.blocks.columns() * plan.blocks.channels;
        let stride = plan.blocks.columns() + SKEW;
        let (sums, rest) = scratch.split_at_mut(plan.blocks.rows * stride);
        sums.fill(0.0);
        // Floats from a factor of all tiles to the next.
        let left_stride = rows.len().next_multiple_of(S::MR) * plan.together + SKEW;
        let right_stride = plan.blocks.channels * plan.together + SKEW;
        let (left, rest) = rest.split_at_mut(PRODUCTS * left_stride);
        let right = &mut rest[..PRODUCTS * right_stride];
        let first = tile.rows.start / plan.blocks.height() * plan.chunk;
        let end = plan.tiles.min(first + plan.chunk);
        for first in (first..end).step_by(plan.together) {
            let tiles = first..end.min(first + plan.together);
            let depth = tiles.len();
            pack_inputs(s, right, right_stride, x, tiles.clone(), first_channel, plan);
            pack_output_gradients(s, left, left_stride, dout, tiles, rows.clone(), plan);
            for product in 0..PRODUCTS {
                let column = product * plan.blocks.channels;
                multiply_strided(
                    s,
                    &mut Strided { values: sums, stride },
                    0..rows.len(),
                    column..column + plan.blocks.channels,
                    &left[product * left_stride..],
                    (&right[product * right_stride..], depth),
                    depth,
                    Initial::Output,
                    (),
                );
            }
        }
        for (i, sums) in sums.chunks_exact(stride).enumerate() {
            tile.row(i).copy_from_slice(&sums[..plan.blocks.columns()]);
        }
    }
}

/// The input factors of some tiles in panels of [`LANES`] channels, laid out `[tile][channel]`.
#[inline(always)]
fn pack_inputs<S: Simd>(
    s: S,
    to: &mut [f32],
    stride: usize,
    x: &[f32],
    tiles: Range<usize>,
    first_channel: usize,
    plan: TilePlan,
) {
    let depth = tiles.len();
    for channel in (0..plan.blocks.channels).step_by(LANES) {
        for (k, tile) in tiles.clone().enumerate() {
            let factors = of_input(s, plan.inputs(s, x, tile, first_channel + channel));
            for product in 0..PRODUCTS {
                let to = &mut to[product * stride + channel * depth + k * LANES..][..LANES];
                s.store_part(factors[product / POINTS][product % POINTS], to);
            }
        }
    }
}

/// The factors of some tiles' output gradients in panels of [`Simd::MR`] channels, laid out
/// `[tile][channel]`.
#[inline(always)]
fn pack_output_gradients<S: Simd>(
    s: S,
    to: &mut [f32],
    stride: usize,
    dout: &[f32],
    tiles: Range<usize>,
    rows: Range<usize>,
    plan: TilePlan,
) {
    let depth = tiles.len();
    for (panel, row) in rows.step_by(S::MR).enumerate() {
        for (k, tile) in tiles.clone().enumerate() {
            let factors = of_output_gradient(s, plan.output_gradients(s, dout, tile, row));
            for product in 0..PRODUCTS {
                // Lanes past the panel's are overwritten by the next tile, or the next panel's first.
                let to = &mut to[product * stride + (panel * depth + k) * S::MR..][..LANES];
                s.store_part(factors[product / POINTS][product % POINTS], to);
            }
        }
    }
}

/// Adds the gradients of one output channel's filters, from the sums of all chunks.
struct AddFilters<'a> {
    /// `inner × 3 × 3`
    dweight: &'a mut [f32],
    /// From the channel's row of the first chunk on.
    sums: &'a [f32],
    plan: TilePlan,
}

impl SimdKernel for AddFilters<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { dweight, sums, plan } = self;
        let (width, channels) = (plan.blocks.width(), plan.blocks.channels);
        for (number, dweight) in dweight.chunks_mut(LANES * TAPS).enumerate() {
            let channel = number * LANES;
            let start = channel / channels * plan.blocks.columns() + channel % channels;
            let mut factors = [[s.splat(0.0); POINTS]; POINTS];
            for chunk in 0..plan.chunks {
                let sums = &sums[chunk * plan.blocks.height() * width + start..];
                for product in 0..PRODUCTS {
                    let of_chunk = s.load_or(&sums[product * channels..][..LANES], 0.0);
                    let sum = &mut factors[product / POINTS][product % POINTS];
                    *sum = s.add(*sum, of_chunk);
                }
            }
            let filters = to_filter_gradient(s, factors);
            let mut lanes = [[0.0; LANES]; TAPS];
            for tap in 0..TAPS {
                s.store(filters[tap / 3][tap % 3], &mut lanes[tap]);
            }
            for (i, dweight) in dweight.chunks_exact_mut(TAPS).enumerate() {
                for (dweight, lanes) in dweight.iter_mut().zip(&lanes) {
                    *dweight += lanes[i];
                }
            }
        }
    }
}
