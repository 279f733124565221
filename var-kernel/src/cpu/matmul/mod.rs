//! Matrix products on packed blocks, each element one chain of fused multiply-adds in order of k.
//!
//! The left operand is packed into panels of [`Simd::TILE_ROWS`] rows laid out `[k][row]`, the right
//! operand into panels of [`LANES`] columns laid out `[k][column]`; the edges are zeros. A tile of
//! the output lives in registers while k runs. Between blocks of k the sums rest in the output, so
//! the chain of an element, and with it every bit, is the same however the product is cut up.

mod pack;
pub mod product;
#[cfg(test)]
mod tests;
mod tile;

pub use pack::{
    Numbers, RowMajor, RowMajorQ8, pack_left, pack_left_transposed, pack_right,
    pack_right_transposed,
};
pub use tile::{Start, multiply, multiply_apart};

use core::ops::Range;

use super::simd::{LANES, Simd};
use super::tiles::Tile;

/// Where the elements of a product go.
pub trait Output {
    /// The elements of `row` at `columns`, which lie in one run of [`LANES`] counted from the
    /// product's first column.
    fn part(&mut self, row: usize, columns: Range<usize>) -> &mut [f32];

    /// Initial values of these elements' sums, where they accumulate: the output's own.
    #[inline(always)]
    fn begun(&mut self, row: usize, columns: Range<usize>) -> &[f32] {
        self.part(row, columns)
    }
}

impl Output for Tile<'_> {
    #[inline(always)]
    fn part(&mut self, row: usize, columns: Range<usize>) -> &mut [f32] {
        &mut self.row(row)[columns]
    }
}

/// Row-major, rows `stride` apart.
pub struct Strided<'a> {
    /// The elements.
    pub values: &'a mut [f32],
    /// From the start of a row to the start of the next, at least a row's width.
    pub stride: usize,
}

impl Output for Strided<'_> {
    #[inline(always)]
    fn part(&mut self, row: usize, columns: Range<usize>) -> &mut [f32] {
        &mut self.values[row * self.stride..][columns]
    }
}

/// Panels of [`LANES`] columns laid out `[row][column]`: the right operand of another product.
pub struct Panels<'a> {
    /// The elements.
    pub values: &'a mut [f32],
    /// Rows of a panel.
    pub height: usize,
}

impl Output for Panels<'_> {
    #[inline(always)]
    fn part(&mut self, row: usize, columns: Range<usize>) -> &mut [f32] {
        let start = (columns.start / LANES * self.height + row) * LANES;
        &mut self.values[start..][..columns.len()]
    }
}

/// Floats that `rows` rows of depth `depth` take when packed by [`pack_left`].
#[inline(always)]
pub fn left_len<S: Simd>(rows: usize, depth: usize) -> usize {
    rows.next_multiple_of(S::TILE_ROWS) * depth
}

/// Floats that `columns` columns of depth `depth` take when packed by [`pack_right`].
#[inline(always)]
pub fn right_len(columns: usize, depth: usize) -> usize {
    columns.next_multiple_of(LANES) * depth
}
