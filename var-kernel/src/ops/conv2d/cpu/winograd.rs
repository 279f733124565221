//! 3×3 convolutions in a quarter of the multiplications: tiles of 4×4 outputs, Winograd's F(4×4, 3×3).
//!
//! Weights and input tiles are transformed to 36 factors each; for each of the 36, the sum over input
//! channels is a matrix product, tiles × channels · channels × outputs; then the inverse transform,
//! bias, residual. The output is done a slab of tile rows at a time, so that a slab's factors stay in
//! the shared cache. Each product is one chain over the input channels, whatever the slabs.

use super::transforms::{POINTS, PRODUCTS, SIDE, of_filter, of_input, to_output};
use super::weights::{Rows, widen};
use crate::cpu::matmul::{RowMajor, Start, Strided, multiply, pack_left};
use crate::cpu::simd::{Kernel, LANES, Simd};
use crate::cpu::workers::Tile;
use crate::cpu::{Cpu, Matrix};
use crate::ops::conv2d::{Dims, Grid};

/// Tiles that are transformed together: a multiple of every instruction set's tile of a product.
const GROUP: usize = 12;

/// Tiles that a task multiplies at a time.
const BLOCK: usize = 64;

/// Output channels of a task.
const COLUMNS: usize = 2 * LANES;

/// The most input channels of one packed block of a product.
const DEPTH: usize = 160;

/// Floats of a slab's input factors (4 MiB): a part of the cache that the cores share.
const SLAB: usize = 1 << 20;

/// Floats of the weights' factors (32 MiB) above which making them again costs less than fetching
/// them from memory.
const KEPT: usize = 1 << 23;

/// Rows of factors are kept from lying a power of two apart, where they would push each other out
/// of the cache.
const SKEW: usize = LANES;

/// Whether convolutions of these sizes are computed this way.
///
/// On a small picture the weights' transform costs more than it saves.
pub(super) fn serves(d: Dims) -> bool {
    let (height, width) = d.out_grid();
    d.kernel == 3
        && d.grid != Grid::Halved
        && d.inner % LANES == 0
        && d.outer % LANES == 0
        && height % SIDE == 0
        && height * width >= 256
}

/// How the work is cut up.
#[derive(Clone, Copy)]
struct Plan {
    d: Dims,
    /// Tiles across a picture.
    across: usize,
    /// Rows of tiles of all pictures.
    rows: usize,
    /// Rows of tiles of a band: a task's.
    band: usize,
    /// Bands of a slab.
    slab: usize,
    /// Input channels of a packed block; the last block is filled up with zeros.
    depth: usize,
    /// Packed blocks of the input channels.
    blocks: usize,
    /// Whether the weights' factors are made once, before everything else.
    kept: bool,
}

impl Plan {
    fn of(d: Dims) -> Self {
        let (height, width) = d.out_grid();
        let (across, rows) = (width.div_ceil(SIDE), d.batch * height / SIDE);
        let blocks = d.inner.div_ceil(DEPTH);
        let depth = d.inner.div_ceil(blocks).next_multiple_of(LANES);
        let band = (BLOCK / across).clamp(1, rows.max(1));
        let bands = rows.div_ceil(band);
        let groups = (band * across).div_ceil(GROUP);
        let slab = (SLAB / (PRODUCTS * groups * GROUP * depth * blocks)).clamp(1, bands.max(1));
        let factors = PRODUCTS * d.inner * d.outer;
        let kept = bands > 1 && factors <= KEPT;
        Self { d, across, rows, band, slab, depth, blocks, kept }
    }

    /// Tiles of a whole band, in whole groups.
    fn band_tiles(self) -> usize {
        (self.band * self.across).next_multiple_of(GROUP)
    }

    /// Rows of factors of one band, or of one pair of panels of weights: the products of each block.
    fn factor_rows(self) -> usize {
        self.blocks * PRODUCTS
    }

    /// Width of a row of input factors: a band's tiles, packed.
    fn input_width(self) -> usize {
        self.band_tiles() * self.depth
    }

    /// Width of a row of weight factors: two packed panels.
    fn weight_width(self) -> usize {
        COLUMNS * self.depth
    }

    /// Floats of the slab's input factors.
    fn input_len(self) -> usize {
        self.slab * self.factor_rows() * self.input_width()
    }

    /// Floats of the weights' factors that are made before everything else.
    fn weight_len(self) -> usize {
        let pairs = if self.kept { self.d.outer.div_ceil(COLUMNS) } else { 0 };
        pairs * self.factor_rows() * self.weight_width()
    }
}

/// Floats of scratch memory: a slab's input factors and the weights' factors.
pub(super) fn scratch(d: Dims) -> usize {
    let plan = Plan::of(d);
    plan.input_len() + plan.weight_len()
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
    let (isa, plan) = (cpu.isa, Plan::of(d));
    let (factors, weight_factors) = scratch.split_at_mut(plan.input_len());
    let weight = Rows { matrix: weight, stride: 9 * d.inner };
    if plan.kept {
        let (width, columns) = (plan.weight_width(), LANES * plan.depth);
        cpu.for_each_tile(weight_factors, width, PRODUCTS, columns, |tile, scratch| {
            isa.run(TransformWeights { tile, weight, plan, scratch });
        });
    }
    let weight_factors = &*weight_factors;

    let (_, width) = d.out_grid();
    let band_len = plan.band * SIDE * width;
    let slab_len = plan.slab * band_len * d.outer;
    for (number, out) in out.chunks_mut(slab_len.max(1)).enumerate() {
        let first_row = number * plan.slab * plan.band;
        let (width, columns) = (plan.input_width(), GROUP * plan.depth);
        cpu.for_each_tile(factors, width, PRODUCTS, columns, |tile, scratch| {
            isa.run(TransformInput { tile, x, first_row, plan, scratch });
        });
        let (factors, first) = (&*factors, number * slab_len);
        cpu.for_each_tile(out, d.outer, band_len, COLUMNS, |tile, scratch| {
            let residual = residual.map(|residual| &residual[first..]);
            let band =
                Band { tile, factors, weight, weight_factors, bias, residual, plan, scratch };
            isa.run(band);
        });
    }
}

/// Asks for `length` numbers from `start` on, as far as there are.
#[inline(always)]
fn prefetch<S: Simd>(s: S, from: &[f32], start: usize, length: usize) {
    let end = from.len().min(start + length);
    for line in from.get(start..end).unwrap_or(&[]).chunks(LANES) {
        s.prefetch(line);
    }
}

/// The factors of sixteen output channels' weights for one packed block of input channels.
struct TransformWeights<'a> {
    tile: Tile<'a>,
    weight: Rows<'a>,
    plan: Plan,
    scratch: &'a mut [f32],
}

impl Kernel for TransformWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Plan { d, depth, .. } = self.plan;
        let (pair, block) = (
            self.tile.rows.start / self.plan.factor_rows(),
            self.tile.rows.start / PRODUCTS % self.plan.blocks,
        );
        let first_outer = pair * COLUMNS + self.tile.columns.start / depth;
        if first_outer >= d.outer {
            return;
        }
        let length = LANES * depth;
        let (made, rest) = self.scratch.split_at_mut(PRODUCTS * (length + SKEW));
        weight_factors(s, made, length + SKEW, rest, self.weight, block, first_outer, self.plan);
        for product in 0..PRODUCTS {
            let from = &made[product * (length + SKEW)..][..length];
            self.tile.row(product).copy_from_slice(from);
        }
    }
}

/// Writes the factors of sixteen output channels' weights: row `product` of `to`, `stride` apart,
/// becomes a packed panel.
#[inline(always)]
fn weight_factors<S: Simd>(
    s: S,
    to: &mut [f32],
    stride: usize,
    scratch: &mut [f32],
    weight: Rows<'_>,
    block: usize,
    first_outer: usize,
    plan: Plan,
) {
    let Plan { d, depth, .. } = plan;
    let (natural, _) = scratch.as_chunks_mut::<LANES>();
    let natural = &mut natural[..9 * LANES];
    for first in (0..depth).step_by(LANES) {
        let inner = block * depth + first;
        if inner < d.inner {
            widen(s, natural, weight, first_outer, d.outer, inner, 9);
        } else {
            natural.fill([0.0; LANES]);
        }
        for (i, taps) in natural.chunks_exact(9).enumerate() {
            let mut filter = [[s.splat(0.0); 3]; 3];
            for tap in 0..9 {
                filter[tap / 3][tap % 3] = s.load(&taps[tap]);
            }
            let factors = of_filter(s, filter);
            for product in 0..PRODUCTS {
                let start = product * stride + (first + i) * LANES;
                s.store_part(
                    factors[product / POINTS][product % POINTS],
                    &mut to[start..][..LANES],
                );
            }
        }
    }
}

/// The factors of one group of input tiles.
struct TransformInput<'a> {
    tile: Tile<'a>,
    x: &'a [f32],
    /// The slab's first row of tiles among those of all pictures.
    first_row: usize,
    plan: Plan,
    scratch: &'a mut [f32],
}

impl Kernel for TransformInput<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Plan { d, across, depth, band, .. } = self.plan;
        let first_row = self.first_row + self.tile.rows.start / self.plan.factor_rows() * band;
        let first_channel = self.tile.rows.start / PRODUCTS % self.plan.blocks * depth;
        let first_tile = self.tile.columns.start / depth;
        let stride = GROUP * depth + SKEW;
        let factors = &mut self.scratch[..PRODUCTS * stride];
        for i in 0..GROUP {
            let number = first_tile + i;
            let (row, column) = (first_row + number / across, number % across);
            let inside = number < band * across && row < self.plan.rows;
            for k in (0..depth).step_by(LANES) {
                let channel = first_channel + k;
                if inside {
                    prefetch_tile(s, self.x, row, column + 1, k, d);
                }
                let tile = if inside && channel < d.inner {
                    of_input(s, load_tile(s, self.x, row, column, channel, d))
                } else {
                    [[s.splat(0.0); POINTS]; POINTS]
                };
                for product in 0..PRODUCTS {
                    let to = &mut factors[product * stride + i * depth + k..][..LANES];
                    s.store_part(tile[product / POINTS][product % POINTS], to);
                }
            }
        }
        for (product, values) in factors.chunks_exact(stride).enumerate() {
            let from = RowMajor { values, stride: depth };
            pack_left(s, self.tile.row(product), &from, 0..GROUP, 0..depth);
        }
    }
}

/// What sixteen channels of a tile's outputs are computed from, zeros outside the picture.
#[inline(always)]
fn load_tile<S: Simd>(
    s: S,
    x: &[f32],
    row: usize,
    column: usize,
    channel: usize,
    d: Dims,
) -> [[S::F32; POINTS]; POINTS] {
    let doubled = usize::from(d.grid == Grid::Doubled);
    let (height, width) = d.out_grid();
    let (picture, first_y) = (row / (height / SIDE), row % (height / SIDE) * SIDE);
    let mut tile = [[s.splat(0.0); POINTS]; POINTS];
    for i in 0..POINTS {
        // Counted from one above and one left of the picture.
        let y = first_y + i;
        if y == 0 || y > height {
            continue;
        }
        let line = (picture * d.height + ((y - 1) >> doubled)) * d.width;
        for j in 0..POINTS {
            let x_place = column * SIDE + j;
            if x_place == 0 || x_place > width {
                continue;
            }
            let start = (line + ((x_place - 1) >> doubled)) * d.inner + channel;
            tile[i][j] = s.load_or(&x[start..][..LANES], 0.0);
        }
    }
    tile
}

/// Asks for a share of what the tile at `column` needs beyond the tile left of it: the lines as they
/// lie in memory, as many for each sixteen channels `k` as those take to transform.
#[inline(always)]
fn prefetch_tile<S: Simd>(s: S, x: &[f32], row: usize, column: usize, k: usize, d: Dims) {
    let doubled = usize::from(d.grid == Grid::Doubled);
    let (height, _) = d.out_grid();
    let (picture, first_y) = (row / (height / SIDE), row % (height / SIDE) * SIDE);
    for i in 0..POINTS {
        let y = (first_y + i).clamp(1, height) - 1;
        let line = (picture * d.height + (y >> doubled)) * d.width;
        let start = (line + ((column * SIDE + 1) >> doubled)) * d.inner;
        prefetch(s, x, start + (SIDE >> doubled) * k, (SIDE >> doubled) * LANES);
    }
}

/// Some output channels of one band of tiles.
struct Band<'a> {
    tile: Tile<'a>,
    factors: &'a [f32],
    weight: Rows<'a>,
    weight_factors: &'a [f32],
    bias: &'a [f32],
    /// From the slab's first output on.
    residual: Option<&'a [f32]>,
    plan: Plan,
    scratch: &'a mut [f32],
}

impl Kernel for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mut tile, factors, weight, weight_factors: kept, bias, residual, plan, .. } =
            self;
        let Plan { d, across, depth, .. } = plan;
        let (_, width) = d.out_grid();
        let (pixels, columns) = (tile.rows.clone(), tile.columns.clone());
        let band = pixels.start / (plan.band * SIDE * width);
        let tiles = pixels.len() / (SIDE * width) * across;
        let stride = BLOCK * columns.len() + SKEW;
        let (products, rest) = self.scratch.split_at_mut(PRODUCTS * stride);
        let made_stride = columns.len() * depth + SKEW;
        let (made, rest) = rest.split_at_mut(if plan.kept { 0 } else { PRODUCTS * made_stride });

        let block_tiles = match tiles.div_ceil(BLOCK / GROUP * GROUP) {
            _ if tiles <= BLOCK => BLOCK,
            count => tiles.div_ceil(count).next_multiple_of(GROUP),
        };
        for first in (0..tiles).step_by(block_tiles) {
            let count = block_tiles.min(tiles - first);
            for block in 0..plan.blocks {
                if !plan.kept {
                    for (panel, outer) in columns.clone().step_by(LANES).enumerate() {
                        let to = &mut made[panel * LANES * depth..];
                        weight_factors(s, to, made_stride, rest, weight, block, outer, plan);
                    }
                }
                for product in 0..PRODUCTS {
                    let row = block * PRODUCTS + product;
                    let left =
                        (band * plan.factor_rows() + row) * plan.input_width() + first * depth;
                    let (right, next_right) = if plan.kept {
                        let pair = columns.start / COLUMNS;
                        let start = (pair * plan.factor_rows() + row) * plan.weight_width();
                        (&kept[start..], plan.weight_width())
                    } else {
                        (&made[product * made_stride..], made_stride)
                    };
                    // A run of products is short: the next one's operands are asked for before
                    // each part of this one, or it would begin by waiting for them.
                    let next_left = factors.get(left + plan.input_width()..).unwrap_or(&[]);
                    let next_right = right.get(next_right..).unwrap_or(&[]);
                    let share = columns.len() * depth / count.div_ceil(GROUP);
                    for (part, row) in (0..count).step_by(GROUP).enumerate() {
                        prefetch(s, next_left, row * depth, GROUP * depth);
                        prefetch(s, next_right, part * share, share);
                        multiply(
                            s,
                            &mut Strided {
                                values: &mut products[product * stride..],
                                stride: columns.len(),
                            },
                            row..count.min(row + GROUP),
                            0..columns.len(),
                            &factors[left + row * depth..],
                            right,
                            depth,
                            if block == 0 { Start::Zero } else { Start::Output },
                        );
                    }
                }
            }
            for i in 0..count {
                let (row, column) = ((first + i) / across, (first + i) % across);
                for channel in (0..columns.len()).step_by(LANES) {
                    let mut m = [[s.splat(0.0); POINTS]; POINTS];
                    for product in 0..PRODUCTS {
                        let start = product * stride + i * columns.len() + channel;
                        let from = &products[start..][..LANES];
                        m[product / POINTS][product % POINTS] = s.load_or(from, 0.0);
                    }
                    let bias = s.load_or(&bias[columns.start + channel..][..LANES], 0.0);
                    let outputs = to_output(s, m);
                    for y in 0..SIDE {
                        for x in 0..SIDE {
                            let x_place = column * SIDE + x;
                            if x_place >= width {
                                continue;
                            }
                            let pixel = (row * SIDE + y) * width + x_place;
                            let mut sum = s.add(outputs[y][x], bias);
                            if let Some(residual) = residual {
                                let start =
                                    (pixels.start + pixel) * d.outer + columns.start + channel;
                                sum = s.add(sum, s.load_or(&residual[start..][..LANES], 0.0));
                            }
                            s.store_part(sum, &mut tile.row(pixel)[channel..][..LANES]);
                        }
                    }
                }
            }
        }
    }
}
