//! Matrix products on packed blocks, each element one chain of fused multiply-adds in order of k.
//!
//! The left operand is packed into panels of [`Simd::MR`] rows laid out `[k][row]`, the right
//! operand into panels of [`LANES`] columns laid out `[k][column]`; the edges are zeros. A tile of
//! the output lives in registers while k runs. Between blocks of k the sums rest in the output, so
//! the chain of an element, and with it every bit, is the same however the product is cut up.
//!
//! A linear layer's product has a way of its own, which leaves the weights where they lie: [`nt`].

pub mod gemm;
mod pack;
#[cfg(test)]
mod tests;
#[macro_use]
mod tile;
pub mod nt;
pub(crate) mod q8;

pub use pack::{
    LoadElements, RowMajor, RowMajorQ8, RowMajorWeights, pack_a, pack_a_transposed, pack_b,
    pack_b_transposed, pack_lanes,
};
pub use tile::{Initial, Prefetch, multiply, multiply_strided};

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
    fn initial(&mut self, row: usize, columns: Range<usize>) -> &[f32] {
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

/// Floats that `rows` rows of depth `depth` take when packed by [`pack_a`].
#[inline(always)]
pub fn packed_a_len<S: Simd>(rows: usize, depth: usize) -> usize {
    rows.next_multiple_of(S::MR) * depth
}

/// Floats that `columns` columns of depth `depth` take when packed by [`pack_b`].
#[inline(always)]
pub fn packed_b_len(columns: usize, depth: usize) -> usize {
    columns.next_multiple_of(LANES) * depth
}
