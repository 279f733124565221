//! Gradients of group normalization.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
pub(super) mod node;
mod record;
#[cfg(test)]
mod tests;

use var_kernel::ops::group_norm::{Activation, Dims, GroupNorm};

/// Operands of the forward pass `out = activation(n · weight + bias)`, n the normalized x.
#[derive(Debug)]
pub struct Forward<'a, S: ?Sized> {
    /// `batch × positions × channels`
    pub x: &'a S,
    /// `channels`
    pub weight: &'a S,
    /// `channels`
    pub bias: &'a S,
    /// Epsilon of the deviation.
    pub eps: f32,
    /// Activation after it.
    pub activation: Activation,
}

// Derived, it would want the slice itself to be `Copy`.
impl<S: ?Sized> Clone for Forward<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for Forward<'_, S> {}

/// Gradients of `out = activation(y)`, `y = n · weight + bias`, n the normalized x.
///
/// With `dy = dout · activation'(y)`, both methods want each channel's `Σ dy` and `Σ dy · n` over a
/// image's positions: the first leaves them to the second.
pub trait GroupNormBackward: GroupNorm {
    /// Floats of the sums that [`GroupNormBackward::group_norm_backward_x`] leaves.
    fn group_norm_backward_sums(&self, d: Dims) -> usize;

    /// `dx += (g − mean(g) − n · mean(g · n)) / deviation`, `g = dy · weight`, means over the positions
    /// and channels of a group of an image. Without `dx` only the sums are made.
    ///
    /// `dx`, `dout`: `batch × positions × channels`. `sums`: as
    /// [`GroupNormBackward::group_norm_backward_sums`] says; overwritten.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn group_norm_backward_x(
        &self,
        dx: Option<&mut Self::Slice>,
        sums: &mut Self::Slice,
        dout: &Self::Slice,
        of: Forward<'_, Self::Slice>,
        d: Dims,
    ) -> Result<(), Self::Error>;

    /// `dweight[c] += Σ dy · n`, `dbias[c] += Σ dy` over the positions of all images.
    ///
    /// `gradients`: dweight and dbias, `channels` each. `sums`: as
    /// [`GroupNormBackward::group_norm_backward_x`] left them.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn group_norm_backward_parameters(
        &self,
        gradients: [&mut Self::Slice; 2],
        sums: &Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}
