//! Sums of matrices, rows by index, SiLU: what needs one pass over memory.

mod cpu;
#[cfg(test)]
mod tests;

use crate::memory::Device;

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

/// Refuses indices past the end of the table, and an `out` of another size.
#[track_caller]
pub(crate) fn check_embedding(out: usize, table: usize, indices: &[u32], width: usize) {
    assert_eq!(out, indices.len() * width, "embedding: out is not indices × width");
    if let Some(last) = indices.iter().max() {
        assert!((*last as usize) < table / width, "embedding: {last} of {}", table / width);
    }
}
