//! A band of tiles: the products of its factors with the weights', then the outputs.

use core::ops::Range;

use super::factors::weight_factors;
use super::plan::{GROUP, NC, SKEW, WinogradPlan};
use super::transforms::{POINTS, PRODUCTS, SIDE, to_output};
use crate::cpu::matmul::RowMajorWeights;
use crate::cpu::matmul::{Initial, Prefetch, Strided, multiply_strided};
use crate::cpu::simd::{LANES, Simd, SimdKernel};
use crate::cpu::tiles::Tile;
use crate::ops::conv2d::cpu::geometry::OutputEpilogue;

/// The products and outputs of one band for some output channels.
pub(super) struct Band<'a> {
    pub(super) tile: Tile<'a>,
    /// The slab's input factors.
    pub(super) factors: &'a [f32],
    pub(super) weight: RowMajorWeights<'a>,
    pub(super) kept: &'a [f32],
    /// The residual from the slab's first output on.
    pub(super) epilogue: OutputEpilogue<'a>,
    pub(super) plan: WinogradPlan,
    pub(super) scratch: &'a mut [f32],
}

impl SimdKernel for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mut tile, factors, weight, kept, epilogue, plan, scratch } = self;
        let WinogradPlan { depth, .. } = plan;
        let first_column = tile.columns.start - epilogue.out_first;
        let columns = first_column..first_column + tile.columns.len();
        // Counted from where the slab begins.
        let pixels_in_row = SIDE * plan.g.out_grid[1];
        let band = tile.rows.start / pixels_in_row / plan.band;
        let tiles = tile.rows.len().div_ceil(pixels_in_row) * plan.across;
        let most = plan.tiles(columns.len(), scratch.len());
        let (products, rest) = scratch.split_at_mut(WinogradProducts::len(most, columns.len()));
        let mut products = WinogradProducts::of(products, most, columns.len());
        let made_width = columns.len() * depth + SKEW;
        let (made, rest) = rest.split_at_mut(if plan.kept { 0 } else { PRODUCTS * made_width });

        // Only whole groups begin where a panel begins.
        let step = match tiles.div_ceil(most / GROUP * GROUP) {
            _ if tiles <= most => most,
            steps => tiles.div_ceil(steps).next_multiple_of(GROUP),
        };
        for first in (0..tiles).step_by(step) {
            let count = step.min(tiles - first);
            for block in 0..plan.blocks {
                let row = band * plan.factor_rows() + block * PRODUCTS;
                let left =
                    (&factors[row * plan.input_width() + first * depth..], plan.input_width());
                let right = if plan.kept {
                    let row = columns.start / NC * plan.factor_rows() + block * PRODUCTS;
                    (&kept[row * plan.weight_width()..], plan.weight_width())
                } else {
                    for (panel, outer) in columns.clone().step_by(LANES).enumerate() {
                        let to = &mut made[panel * LANES * depth..];
                        weight_factors(s, to, made_width, rest, weight, block, outer, plan);
                    }
                    (&*made, made_width)
                };
                let start = if block == 0 { Initial::Zero } else { Initial::Output };
                products.multiply(s, left, right, count, depth, start);
            }
            let tiles = first..first + count;
            products.write(s, &mut tile, tiles, columns.clone(), epilogue, plan);
        }
    }
}

/// Operands of the next of the 36 products: a group of tiles and a share of the weights.
#[derive(Clone, Copy)]
struct NextProduct<'a> {
    left: &'a [f32],
    right: &'a [f32],
    /// Columns of the weights.
    share: usize,
}

impl Prefetch for NextProduct<'_> {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, k: usize) {
        s.prefetch(self.left.get(k * GROUP..).unwrap_or_default());
        s.prefetch(self.right.get(k * self.share..).unwrap_or_default());
    }
}

/// For each of the 36 factors a matrix: tiles × output channels.
struct WinogradProducts<'a> {
    values: &'a mut [f32],
    /// From one matrix to the next.
    stride: usize,
    /// Output channels.
    columns: usize,
}

impl<'a> WinogradProducts<'a> {
    /// Floats for `tiles` tiles.
    #[inline(always)]
    fn len(tiles: usize, columns: usize) -> usize {
        PRODUCTS * (tiles * columns + SKEW)
    }

    #[inline(always)]
    fn of(memory: &'a mut [f32], tiles: usize, columns: usize) -> Self {
        let values = &mut memory[..Self::len(tiles, columns)];
        Self { values, stride: tiles * columns + SKEW, columns }
    }

    /// Multiplies `count` tiles' factors with the weights'. Each operand comes with the width of a
    /// row, one for each of the 36.
    #[inline(always)]
    fn multiply<S: Simd>(
        &mut self,
        s: S,
        (left, left_width): (&[f32], usize),
        (right, right_width): (&[f32], usize),
        count: usize,
        depth: usize,
        start: Initial,
    ) {
        let share = self.columns.div_ceil(count.div_ceil(GROUP));
        for product in 0..PRODUCTS {
            let values = &mut self.values[product * self.stride..];
            let mut out = Strided { values, stride: self.columns };
            let (left_at, right_at) = (product * left_width, product * right_width);
            for (part, row) in (0..count).step_by(GROUP).enumerate() {
                // A product is short: unless the next one's operands are asked for in time, it begins by
                // waiting for them.
                let next = NextProduct {
                    left: left.get(left_at + left_width + row * depth..).unwrap_or_default(),
                    right: right
                        .get(right_at + right_width + part * share * depth..)
                        .unwrap_or_default(),
                    share,
                };
                let rows = row..count.min(row + GROUP);
                let (left, right) = (&left[left_at + row * depth..], &right[right_at..]);
                let columns = 0..self.columns;
                multiply_strided(
                    s,
                    &mut out,
                    rows,
                    columns,
                    left,
                    (right, depth),
                    depth,
                    start,
                    next,
                );
            }
        }
    }

    /// Transforms the products of the band's `tiles` to outputs for `columns`, adds bias and residual,
    /// then ReLU.
    #[inline(always)]
    fn write<S: Simd>(
        &self,
        s: S,
        out: &mut Tile<'_>,
        tiles: Range<usize>,
        columns: Range<usize>,
        epilogue: OutputEpilogue<'_>,
        plan: WinogradPlan,
    ) {
        let WinogradPlan { g, across, .. } = plan;
        let [_, width] = g.out_grid;
        let first_pixel = out.rows.start;
        let height = out.rows.len() / width;
        for (i, number) in tiles.enumerate() {
            let (row, column) = (number / across, number % across);
            for lane in (0..columns.len()).step_by(LANES) {
                let channel = columns.start + lane;
                let mut m = [[s.splat(0.0); POINTS]; POINTS];
                for product in 0..PRODUCTS {
                    let start = product * self.stride + i * self.columns + lane;
                    let from = &self.values[start..][..LANES];
                    m[product / POINTS][product % POINTS] = s.load_or(from, 0.0);
                }
                let outputs = to_output(s, m);
                let bias = s.load_or(&epilogue.bias[channel..][..LANES], 0.0);
                for y in 0..SIDE.min(height - row * SIDE) {
                    for x in 0..SIDE.min(width - column * SIDE) {
                        let pixel = (row * SIDE + y) * width + column * SIDE + x;
                        let mut sum = s.add(outputs[y][x], bias);
                        if let Some(residual) = epilogue.residual {
                            let from = (first_pixel + pixel) * g.outer + channel;
                            sum = s.add(sum, s.load_or(&residual[from..][..LANES], 0.0));
                        }
                        if epilogue.relu {
                            sum = s.max(sum, s.splat(0.0));
                        }
                        let to = &mut out.row(pixel)[lane..][..LANES];
                        s.store_part(sum, to);
                    }
                }
            }
        }
    }
}
