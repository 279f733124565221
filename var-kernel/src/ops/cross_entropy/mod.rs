//! How unlikely the right token was, and which was the most likely.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
mod tests;

use crate::memory::Device;

/// Cross-entropy.
pub trait CrossEntropy: Device {
    /// The negative log-likelihood of each row's target, in nats.
    ///
    /// `out[r] = ln Σᵢ e^logits[r, i] − (1 − ε)·logits[r, targets[r]] − ε/codes · Σᵢ logits[r, i]`
    ///
    /// ε is `smoothing`, 0 for the likelihood itself: the part of the target's probability that is
    /// spread over all codes (Szegedy and others, "Rethinking the Inception Architecture", 2015).
    ///
    /// `out`, `targets`: `rows`. `logits`: `rows × codes`.
    ///
    /// # Panics
    /// If `logits` is not whole rows, one for each target, or a target is past a row's end.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn cross_entropy(
        &self,
        out: &mut Self::Slice,
        logits: &Self::Slice,
        targets: &[u32],
        smoothing: f32,
    ) -> Result<(), Self::Error>;

    /// The most likely token of each row: `tokens[r] = argmaxᵢ logits[r, i]`, the first of equals.
    ///
    /// NaN is below every number; a row of nothing else gives 0. `tokens`: `rows`. `logits`: `rows × codes`.
    ///
    /// # Panics
    /// If `logits` is not whole rows, one for each token.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn most_likely(
        &self,
        tokens: &mut Self::Tokens,
        logits: &Self::Slice,
    ) -> Result<(), Self::Error>;
}

/// Refuses logits that are not whole rows; returns the number of codes.
#[track_caller]
pub(crate) fn check_rows(tokens: usize, logits: usize) -> usize {
    assert!(
        tokens > 0 && logits > 0 && logits.is_multiple_of(tokens),
        "most_likely: {logits} logits for {tokens} rows"
    );
    logits / tokens
}

/// Panics unless the operands have matching lengths; returns the number of codes.
#[track_caller]
pub(crate) fn check(out: usize, logits: usize, targets: &[u32]) -> usize {
    let rows = targets.len();
    assert_eq!(out, rows, "cross_entropy: out is not one number for each target");
    assert!(
        rows > 0 && logits.is_multiple_of(rows),
        "cross_entropy: {logits} logits for {rows} rows"
    );
    let codes = logits / rows;
    let last = targets.iter().max().copied().unwrap_or(0) as usize;
    assert!(last < codes, "cross_entropy: target {last} of {codes} codes");
    codes
}
