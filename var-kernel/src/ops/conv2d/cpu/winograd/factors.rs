//! Weights and input tiles to factors, packed as the products read them.

use super::plan::{GROUP, NATURAL, NC, SKEW, WinogradPlan};
use super::transforms::{POINTS, PRODUCTS, SIDE, of_filter, of_input};
use crate::cpu::matmul::RowMajorWeights;
use crate::cpu::matmul::{RowMajor, pack_a};
use crate::cpu::simd::{LANES, Simd, SimdKernel};
use crate::cpu::tiles::Tile;
use crate::ops::conv2d::cpu::geometry::Geometry;
use crate::ops::conv2d::cpu::weights::widen;

/// The factors of sixteen output channels' weights for one packed block of input channels.
pub(super) struct TransformWeights<'a> {
    pub(super) tile: Tile<'a>,
    pub(super) weight: RowMajorWeights<'a>,
    pub(super) plan: WinogradPlan,
    pub(super) scratch: &'a mut [f32],
}

impl SimdKernel for TransformWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let WinogradPlan { g, depth, .. } = self.plan;
        let (pair, block) = (
            self.tile.rows.start / self.plan.factor_rows(),
            self.tile.rows.start / PRODUCTS % self.plan.blocks,
        );
        let first_outer = pair * NC + self.tile.columns.start / depth;
        if first_outer >= g.outer {
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
pub(super) fn weight_factors<S: Simd>(
    s: S,
    to: &mut [f32],
    stride: usize,
    scratch: &mut [f32],
    weight: RowMajorWeights<'_>,
    block: usize,
    first_outer: usize,
    plan: WinogradPlan,
) {
    let WinogradPlan { g, depth, .. } = plan;
    let (natural, _) = scratch.as_chunks_mut::<LANES>();
    let natural = &mut natural[..NATURAL / LANES];
    for first in (0..depth).step_by(LANES) {
        let inner = block * depth + first;
        if inner < g.inner {
            widen(s, natural, weight, first_outer, g.outer, inner, 9);
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

/// The factors of one group of input tiles for one packed block of input channels.
pub(super) struct TransformInput<'a> {
    pub(super) tile: Tile<'a>,
    pub(super) x: &'a [f32],
    /// The slab's first row of tiles among those of all images.
    pub(super) first_row: usize,
    pub(super) plan: WinogradPlan,
    pub(super) scratch: &'a mut [f32],
}

impl SimdKernel for TransformInput<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let WinogradPlan { g, across, depth, band, blocks, .. } = self.plan;
        let first_row = self.first_row + self.tile.rows.start / self.plan.factor_rows() * band;
        let first_channel = self.tile.rows.start / PRODUCTS % blocks * depth;
        let first_tile = self.tile.columns.start / depth;
        let stride = GROUP * depth + SKEW;
        let factors = &mut self.scratch[..PRODUCTS * stride];
        for i in 0..GROUP {
            let number = first_tile + i;
            let (row, column) = (first_row + number / across, number % across);
            let inside = number < band * across && row < self.plan.rows;
            for k in (0..depth).step_by(LANES) {
                let channel = first_channel + k;
                let tile = if inside && channel < g.inner {
                    prefetch_tile(s, self.x, row, column + 1, channel, g);
                    of_input(s, load_tile(s, self.x, row, column, channel, g))
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
            pack_a(s, self.tile.row(product), &from, 0..GROUP, 0..depth);
        }
    }
}

/// Inputs of one tile for sixteen channels, zeros outside the image.
#[inline(always)]
fn load_tile<S: Simd>(
    s: S,
    x: &[f32],
    row: usize,
    column: usize,
    channel: usize,
    g: Geometry,
) -> [[S::F32; POINTS]; POINTS] {
    let (picture, first_y) = place_of(row, g);
    let mut tile = [[s.splat(0.0); POINTS]; POINTS];
    for i in 0..POINTS {
        for j in 0..POINTS {
            if let Some(start) = g.cell(picture, first_y + i, column * SIDE + j) {
                tile[i][j] = s.load_or(&x[start + channel..][..LANES], 0.0);
            }
        }
    }
    tile
}

/// Prefetches a share of the cells that the tile at `column` does not share with its left neighbor:
/// in memory order, a few with each sixteen channels.
#[inline(always)]
fn prefetch_tile<S: Simd>(s: S, x: &[f32], row: usize, column: usize, channel: usize, g: Geometry) {
    let doubled = usize::from(g.doubled);
    let (picture, first_y) = place_of(row, g);
    let [height, _] = g.in_grid();
    for i in 0..POINTS {
        let y = (first_y + i).saturating_sub(g.border[0]).min(height - 1);
        let line = (picture * g.height + (y >> doubled)) * g.width;
        let start = (line + ((column * SIDE + 1) >> doubled)) * g.inner;
        prefetch(s, x, start + (SIDE >> doubled) * channel, (SIDE >> doubled) * LANES);
    }
}

/// The image of a row of tiles, and the first of its rows of cells.
#[inline(always)]
fn place_of(row: usize, g: Geometry) -> (usize, usize) {
    let rows = g.out_grid[0].div_ceil(SIDE);
    (row / rows, row % rows * SIDE)
}

/// Asks for `length` numbers from `start` on, as far as there are.
#[inline(always)]
fn prefetch<S: Simd>(s: S, from: &[f32], start: usize, length: usize) {
    let end = from.len().min(start + length);
    for line in from.get(start..end).unwrap_or(&[]).chunks(LANES) {
        s.prefetch(line);
    }
}
