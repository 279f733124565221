//! Gradients of the step between the q·k·v product and attention.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
pub(super) mod node;
mod record;
#[cfg(test)]
mod tests;

use var_kernel::ops::split_qkv::{Dims, Normalization, SplitQkv};

/// Gradients of [`SplitQkv::split_qkv`] with `start` 0 and `capacity` = `rows`.
///
/// Those of the biases are sums over the rows of `dqkv`, which no other step reads.
pub trait SplitQkvBackward: SplitQkv {
    /// Undoes the split. Where vectors are made unit length, with u the unit vector:
    ///
    /// `dqkv += f · (d − u · (u·d)) / ‖v‖`, `d` the gradient of the query or key, `f` the query's
    /// factor, 1 for keys; elsewhere `dqkv += d`.
    ///
    /// `dqkv`, `qkv`: `batch × rows × 3 × width`. `dq`, `dk`, `dv`: `batch × rows × width`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d` or rows were there before.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn split_qkv_backward(
        &self,
        dqkv: &mut Self::Slice,
        gradients: [&Self::Slice; 3],
        qkv: &Self::Slice,
        query_bias: Option<&Self::Slice>,
        normalization: Normalization<'_, Self::Slice>,
        d: Dims,
    ) -> Result<(), Self::Error>;

    /// `dscale[h] += Σ dq · q` over all rows of head h, 0 where the scale is at its ceiling of ln 100.
    ///
    /// `dscale`, `scale`: `heads`. `dq`, `q`: `batch × rows × width`, `q` the forward pass's output.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn split_qkv_backward_scale(
        &self,
        dscale: &mut Self::Slice,
        dq: &Self::Slice,
        q: &Self::Slice,
        scale: &Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}
