//! Rows of a table by index, and tokens by position.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
mod tests;

use crate::memory::Device;

/// Embedding look-ups.
pub trait Embedding: Device {
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

    /// Looks up the codes of tokens: `out[r] = codebook[tokens[r]]`, rows of `width`; as
    /// [`Embedding::embedding`], of tokens on the device; NaN for a token past the end.
    ///
    /// # Panics
    /// If `out` is not `tokens.len() × width` or the codebook is not whole rows.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn lookup_codes(
        &self,
        out: &mut Self::Slice,
        codebook: &Self::Slice,
        tokens: &Self::Tokens,
        width: usize,
    ) -> Result<(), Self::Error>;

    /// Overwrites tokens at forced positions: `tokens[i] = forced[i]` if `positions[i mod positions.len()]`.
    ///
    /// # Panics
    /// If there are not as many forced tokens, or they are no multiple of `positions.len()`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn force_tokens(
        &self,
        tokens: &mut Self::Tokens,
        forced: &[u32],
        positions: &[bool],
    ) -> Result<(), Self::Error>;
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
pub(crate) fn check_lookup_codes(out: usize, codebook: usize, tokens: usize, width: usize) {
    assert_eq!(out, tokens * width, "lookup_codes: out is not tokens × width");
    assert!(
        width > 0 && codebook > 0 && codebook.is_multiple_of(width),
        "lookup_codes: {codebook} floats are not whole rows of {width}"
    );
}

/// Panics unless the lengths of [`Embedding::force_tokens`] agree.
#[track_caller]
pub(crate) fn check_force_tokens(tokens: usize, forced: usize, positions: usize) {
    assert_eq!(tokens, forced, "force_tokens: tokens and forced differ in length");
    assert!(
        positions > 0 && forced.is_multiple_of(positions),
        "force_tokens: {forced} tokens, {positions} positions"
    );
}
