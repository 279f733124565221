//! Element-wise operations: activations, sums, gates, copies.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
mod tests;

use crate::memory::{Device, Floats};
use crate::ops::PerRow;
#[cfg(doc)]
use crate::ops::linear::Epilogue;

/// Sizes of a [`Elementwise::place_rows`].
#[derive(Clone, Copy, Debug)]
pub struct PlaceDims {
    /// Rows of both.
    pub rows: usize,
    /// Width of a row of `x`.
    pub width: usize,
    /// Width of a row of `out`.
    pub stride: usize,
    /// Where in it the row of `x` begins.
    pub start: usize,
}

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// GELU in its tanh form; the same bits as [`Epilogue::Gelu`]. On a GPU the output is in the format of
    /// activations inside a block.
    Gelu,
    /// `x / (1 + e^(−x))`
    Silu,
    /// `x` where it is above 0, else `slope · x`; ReLU for a slope of 0 (Maas and others, "Rectifier
    /// Nonlinearities Improve Neural Network Acoustic Models", 2013).
    LeakyRelu {
        /// The factor of negative numbers.
        slope: f32,
    },
}

impl Unary {
    /// `max(x, 0)`
    pub const RELU: Self = Self::LeakyRelu { slope: 0.0 };
}

/// Element-wise operations.
pub trait Elementwise: Device {
    /// Mixes two matrices, each a pair of numbers and their factor.
    ///
    /// `out[i] = a[i] · a_factor + b[i] · b_factor`, the second product fused into the sum.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn blend(
        &self,
        out: &mut Self::Slice,
        a: (&Self::Slice, f32),
        b: (&Self::Slice, f32),
    ) -> Result<(), Self::Error>;

    /// Adds a table to each of many rows: `out[i] = x[i] + table[i mod table.len()]`.
    ///
    /// # Panics
    /// If the lengths of `out` and `x` differ or are no multiple of the table's.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn add_table(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        table: &Self::Slice,
    ) -> Result<(), Self::Error>;

    /// `out[i] = f(x[i])`
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn map(&self, out: &mut Self::Slice, x: &Self::Slice, f: Unary) -> Result<(), Self::Error>;

    /// `out[r, c] = residual[r, c] + gate(r, c) · x[r, c]`; the same bits as [`Epilogue::Gated`].
    ///
    /// `out`, `residual`, `x`: whole rows of `width`.
    ///
    /// # Panics
    /// If the lengths differ, are not whole rows, or the table is too short.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn gated(
        &self,
        out: &mut Self::Slice,
        residual: &Self::Slice,
        x: &Self::Slice,
        gate: PerRow<'_, Self::Slice>,
        width: usize,
    ) -> Result<(), Self::Error>;

    /// Multiplies each row by its own number: `out[r, c] = x[r, c] · factors[r]`.
    ///
    /// # Panics
    /// If `out` and `x` are not as many rows of one width as there are factors.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn scale_rows(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        factors: &Self::Slice,
    ) -> Result<(), Self::Error>;

    /// Writes each row of `x` into a part of a longer row: `out[r, start + c] = x[r, c]`.
    ///
    /// `x`: `rows × width`. `out`: `rows × stride`, of which the columns outside of `start .. start +
    /// width` stay as they are.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, or the part reaches over the row.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn place_rows(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        d: PlaceDims,
    ) -> Result<(), Self::Error>;

    /// Copies `x` to `out`.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn copy(&self, out: &mut Self::Slice, x: &Self::Slice) -> Result<(), Self::Error>;
}

/// Panics unless the operands of [`Elementwise::map`] have one length.
#[track_caller]
pub(crate) fn check_map(out: usize, x: usize, f: Unary) {
    assert_eq!(out, x, "{f:?}: lengths differ");
}

/// Refuses a table that does not divide `out`, and operands of different lengths.
#[track_caller]
pub(crate) fn check_table(out: usize, x: usize, table: usize) {
    assert_eq!(out, x, "add_table: out and x differ in length");
    assert!(table > 0 && out.is_multiple_of(table), "add_table: {out} is no multiple of {table}");
}

/// Panics unless the operands of [`Elementwise::gated`] have matching lengths.
#[track_caller]
pub(crate) fn check_gated<S: Floats + ?Sized>(
    out: usize,
    residual: usize,
    x: usize,
    gate: PerRow<'_, S>,
    width: usize,
) {
    assert_eq!([residual, x], [out; 2], "gated: lengths differ");
    assert!(width > 0 && out.is_multiple_of(width), "gated: {out} is not whole rows of {width}");
    gate.check(out / width, width);
}

/// Panics unless the operands of [`Elementwise::scale_rows`] have matching lengths; returns a row's width.
#[track_caller]
pub(crate) fn check_scale_rows(out: usize, x: usize, factors: usize) -> usize {
    assert_eq!(out, x, "scale_rows: out and x differ in length");
    assert!(
        factors > 0 && out.is_multiple_of(factors),
        "scale_rows: {out} floats for {factors} factors"
    );
    out / factors
}

impl PlaceDims {
    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check(self, out: usize, x: usize) {
        let Self { rows, width, stride, start } = self;
        assert!(start + width <= stride, "place_rows: {start} + {width} reaches over {stride}");
        assert_eq!(x, rows * width, "place_rows: x is not rows × width");
        assert_eq!(out, rows * stride, "place_rows: out is not rows × stride");
    }
}
