//! Element-wise operations and embedding: sums, rows by index, activations, gates.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::memory::{Device, Floats};
use crate::ops::PerRow;
#[cfg(doc)]
use crate::ops::linear::Epilogue;

/// Sizes of a [`Combine::place_rows`].
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

/// Operations of one pass.
pub trait Combine: Device {
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

    /// `out[i] = gelu(x[i])`, the tanh form; the same bits as [`Epilogue::Gelu`].
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn gelu(&self, out: &mut Self::Slice, x: &Self::Slice) -> Result<(), Self::Error>;

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

    /// `out[i] = x[i] / (1 + e^(−x[i]))`
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn silu(&self, out: &mut Self::Slice, x: &Self::Slice) -> Result<(), Self::Error>;

    /// Looks rows up: `out[r] = table[indices[r]]`, rows of `width`.
    ///
    /// # Panics
    /// If `out` is not `indices.len() × width` or an index is past the table's end.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn embedding(
        &self,
        out: &mut Self::Slice,
        table: &Self::Slice,
        indices: &[u32],
        width: usize,
    ) -> Result<(), Self::Error>;

    /// Looks tokens' codes up: `out[r] = codebook[tokens[r]]`, rows of `width`; as
    /// [`Combine::embedding`], of tokens on the device; NaN for a token past the end.
    ///
    /// # Panics
    /// If `out` is not `tokens.len() × width` or the codebook is not whole rows.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn codes(
        &self,
        out: &mut Self::Slice,
        codebook: &Self::Slice,
        tokens: &Self::Tokens,
        width: usize,
    ) -> Result<(), Self::Error>;

    /// Puts given tokens where they are kept: `tokens[i] = given[i]` if `kept[i mod kept.len()]`.
    ///
    /// # Panics
    /// If there are not as many given tokens, or they are no multiple of `kept.len()`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn keep_tokens(
        &self,
        tokens: &mut Self::Tokens,
        given: &[u32],
        kept: &[bool],
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

/// Refuses a table that does not divide `out`, and operands of different lengths.
#[track_caller]
pub(crate) fn check_table(out: usize, x: usize, table: usize) {
    assert_eq!(out, x, "add_table: out and x differ in length");
    assert!(table > 0 && out.is_multiple_of(table), "add_table: {out} is no multiple of {table}");
}

/// Panics unless the operands of [`Combine::gated`] have matching lengths.
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

/// Panics unless the operands of [`Combine::scale_rows`] have matching lengths; returns a row's width.
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

/// Refuses indices past the end of the table, and an `out` of another size.
#[track_caller]
pub(crate) fn check_embedding(out: usize, table: usize, indices: &[u32], width: usize) {
    assert_eq!(out, indices.len() * width, "embedding: out is not indices × width");
    if let Some(last) = indices.iter().max() {
        assert!((*last as usize) < table / width, "embedding: {last} of {}", table / width);
    }
}

/// Refuses a codebook that is not whole rows, and an `out` of another size.
#[track_caller]
pub(crate) fn check_codes(out: usize, codebook: usize, tokens: usize, width: usize) {
    assert_eq!(out, tokens * width, "codes: out is not tokens × width");
    assert!(
        width > 0 && codebook > 0 && codebook.is_multiple_of(width),
        "codes: {codebook} floats are not whole rows of {width}"
    );
}

/// Refuses lists of tokens to keep that do not fit.
#[track_caller]
pub(crate) fn check_kept(tokens: usize, given: usize, kept: usize) {
    assert_eq!(tokens, given, "keep_tokens: not as many given as drawn");
    assert!(kept > 0 && given.is_multiple_of(kept), "keep_tokens: {given} tokens, {kept} cells");
}
