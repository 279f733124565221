//! Gradient of the cross-entropy.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
pub(super) mod node;
mod record;
#[cfg(test)]
mod tests;

use var_kernel::ops::cross_entropy::CrossEntropy;

/// Gradient of [`CrossEntropy::cross_entropy`].
pub trait CrossEntropyBackward: CrossEntropy {
    /// `dlogits[r, i] += dloss[r] · (softmax(logits[r])ᵢ − (1 − ε)·[i = targets[r]] − ε/codes)`, ε the
    /// `smoothing`.
    ///
    /// `dloss`, `targets`: `rows`. `logits`, `dlogits`: `rows × codes`.
    ///
    /// # Panics
    /// If the lengths do not fit or a target is past a row's end.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn cross_entropy_backward(
        &self,
        dlogits: &mut Self::Slice,
        dloss: &Self::Slice,
        logits: &Self::Slice,
        targets: &[u32],
        smoothing: f32,
    ) -> Result<(), Self::Error>;
}
