//! Gradients of resizing.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
pub(super) mod node;
mod record;
#[cfg(test)]
mod tests;

use var_kernel::ops::resize::{Dims, Resize};

/// Gradients of resizing: the transposed resize.
pub trait ResizeBackward: Resize {
    /// `dx[y, x] += Σ dout[v, u] · weight(v, y) · weight(u, x)`, the weights of
    /// [`Resize::bicubic`] along each axis.
    ///
    /// `dx`: `batch × from × from × channels`. `dout`: `batch × to × to × channels`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn bicubic_backward(
        &self,
        dx: &mut Self::Slice,
        dout: &Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;

    /// The same with the weights of [`Resize::area`].
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn area_backward(
        &self,
        dx: &mut Self::Slice,
        dout: &Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}
