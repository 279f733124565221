//! Gradients of a linear layer.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
pub(super) mod node;
mod record;
#[cfg(test)]
mod tests;

use var_kernel::ops::linear::{Dims, Linear};

/// Gradients of `y = x · weightᵀ + bias`. That of the bias is [`Sums::sum_rows`](super::Sums::sum_rows).
pub trait LinearBackward: Linear {
    /// `dx += dy · weight`
    ///
    /// `dx`: `rows × inner`. `dy`: `rows × outer`. `weight`: `outer × inner`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn linear_backward_x(
        &self,
        dx: &mut Self::Slice,
        dy: &Self::Slice,
        weight: Self::Matrix<'_>,
        d: Dims,
    ) -> Result<(), Self::Error>;

    /// `dweight += dyᵀ · x`; on the CPU one chain over the rows, in their order.
    ///
    /// `dweight`: `outer × inner`. `dy`: `rows × outer`. `x`: `rows × inner`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn linear_backward_weight(
        &self,
        dweight: &mut Self::Slice,
        dy: &Self::Slice,
        x: &Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}
