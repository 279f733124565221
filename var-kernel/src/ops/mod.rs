//! The vocabulary every backend speaks; one folder an operation.
//!
//! | operation | computes |
//! |---|---|
//! | [`linear`] | rows · weightᵀ + bias, then GELU, gate and residual, or a table |
//! | [`attention`] | softmax(q·kᵀ)·v for each head |
//! | [`conv2d`] | 3×3 and 1×1 convolutions |
//! | [`group_norm`] | groups of channels to mean 0 and variance 1, then SiLU |
//! | [`resize`] | bicubic up, area down |
//! | [`nearest_code`] | the closest row of a codebook |
//!
//! A folder's `mod.rs` is the contract (trait, sizes, checks), `cpu.rs` the CPU, `tests.rs` the
//! comparison with a naive oracle in `f64`.

pub mod attention;
pub mod conv2d;
pub mod group_norm;
pub mod linear;
pub mod nearest_code;
pub mod resize;
#[cfg(test)]
pub(crate) mod testing;

use crate::memory::Floats;

/// A row of numbers for each row of a matrix, out of a wider table: the part of the adaptive
/// LayerNorm's projection that scales, shifts or gates.
///
/// The value for row r, channel c is `table[start + (r / rows) · stride + c]`: `rows` neighbouring
/// rows share one row of the table.
#[derive(Clone, Copy, Debug)]
pub struct PerRow<'a, S: ?Sized> {
    /// The table.
    pub table: &'a S,
    /// Where the part begins in a row of the table.
    pub start: usize,
    /// Width of a row of the table.
    pub stride: usize,
    /// Rows of the matrix that share one row of the table.
    pub rows: usize,
}

impl<S: Floats + ?Sized> PerRow<'_, S> {
    /// Refuses a table too short for `rows` rows of `width`.
    #[track_caller]
    pub(crate) fn check(&self, rows: usize, width: usize) {
        assert!(self.rows > 0, "a row of the table must serve at least one row");
        assert!(self.start + width <= self.stride, "the part reaches over its row of the table");
        let wanted = rows.div_ceil(self.rows) * self.stride;
        assert!(self.table.len() >= wanted, "table: {} floats, {wanted} wanted", self.table.len());
    }
}

impl<'a> PerRow<'a, [f32]> {
    /// The values for row `row`.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize, width: usize) -> &'a [f32] {
        let start = self.start + row / self.rows * self.stride;
        &self.table[start..start + width]
    }
}
