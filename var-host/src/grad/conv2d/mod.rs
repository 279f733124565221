//! Gradients of a convolution.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
pub(super) mod node;
mod record;
#[cfg(test)]
mod tests;

use var_kernel::ops::conv2d::{Conv2d, Dims, Grid};

/// Gradients of `y = conv(x) + bias + residual`, for all grids but [`Grid::Strided`]. That of the bias is
/// [`Sums::sum_rows`](super::Sums::sum_rows), that of the residual
/// [`Sums::add_scaled`](super::Sums::add_scaled).
pub trait Conv2dBackward: Conv2d {
    /// Floats of scratch memory that either gradient wants for `d`.
    fn conv2d_backward_scratch(&self, d: Dims) -> usize;

    /// `dx[y, x, i] += Σ dout[v, u, o] · weight[o, i, tap]` over all output cells (v, u) that see (y, x)
    /// by some tap, and all o.
    ///
    /// `dx`: `batch × height × width × inner`. `dout`: `batch × out height × out width × outer`.
    /// `weight`: `outer × inner × kernel × kernel`. `scratch`: as
    /// [`Conv2dBackward::conv2d_backward_scratch`] says.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, or the grid is [`Grid::Strided`].
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn conv2d_backward_x(
        &self,
        dx: &mut Self::Slice,
        dout: &Self::Slice,
        weight: Self::Matrix<'_>,
        scratch: &mut Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;

    /// `dweight[o, i, tap] += Σ dout[v, u, o] · x[y, x, i]` over all output cells (v, u) and the cell
    /// (y, x) that each sees by that tap.
    ///
    /// `dweight`: `outer × inner × kernel × kernel`. The others as for
    /// [`Conv2dBackward::conv2d_backward_x`].
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, or the grid is [`Grid::Strided`].
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn conv2d_backward_weight(
        &self,
        dweight: &mut Self::Slice,
        dout: &Self::Slice,
        x: &Self::Slice,
        scratch: &mut Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

/// Panics unless every operand has the length these sizes give.
#[track_caller]
fn check(d: Dims, x: usize, out: usize, weight: usize) {
    let plain = !matches!(d.grid, Grid::Strided { .. }) && d.into.is_none();
    assert!(plain, "conv2d has no gradient for {:?} into {:?}", d.grid, d.into);
    let (pixels, taps) = (d.batch * d.height * d.width, d.taps());
    assert_eq!(x, pixels * d.inner, "conv2d's gradient: x is not batch × height × width × inner");
    assert_eq!(out, d.out_len(), "conv2d's gradient: dout is not batch × out grid × outer");
    assert_eq!(weight, d.outer * d.inner * taps, "conv2d's gradient: not outer × inner × k × k");
}
