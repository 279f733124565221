//! Matrix products on packed blocks, each element one chain of fused multiply-adds in order of k.
//!
//! The left operand is packed into panels of [`Simd::TILE_ROWS`] rows laid out `[k][row]`, the right
//! operand into panels of [`LANES`] columns laid out `[k][column]`; the edges are zeros. A tile of
//! the output lives in registers while k runs. Between blocks of k the sums rest in the output, so
//! the chain of an element, and with it every bit, is the same however the product is cut up.

mod pack;
#[cfg(test)]
mod tests;
mod tile;

pub(crate) use pack::{
    Numbers, RowMajor, RowMajorQ8, pack_left, pack_right, pack_right_transposed,
};
pub(crate) use tile::{Start, multiply};

use super::simd::{LANES, Simd};
use super::workers::Tile;

/// Rows of an output that a product may write.
pub(crate) trait Rows {
    /// The `row`th row.
    fn row(&mut self, row: usize) -> &mut [f32];
}

impl Rows for Tile<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize) -> &mut [f32] {
        Tile::row(self, row)
    }
}

/// Rows that follow each other in memory, `stride` apart.
pub(crate) struct Strided<'a> {
    /// The numbers.
    pub(crate) values: &'a mut [f32],
    /// From the start of a row to the start of the next, which is also a row's width.
    pub(crate) stride: usize,
}

impl Rows for Strided<'_> {
    #[inline(always)]
    fn row(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.stride..][..self.stride]
    }
}

/// Floats that `rows` rows of depth `depth` take when packed by [`pack_left`].
#[inline(always)]
pub(crate) fn left_len<S: Simd>(rows: usize, depth: usize) -> usize {
    rows.next_multiple_of(S::TILE_ROWS) * depth
}

/// Floats that `columns` columns of depth `depth` take when packed by [`pack_right`].
#[inline(always)]
pub(crate) fn right_len(columns: usize, depth: usize) -> usize {
    columns.next_multiple_of(LANES) * depth
}
