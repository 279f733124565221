//! Gradient of pooling.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
pub(super) mod node;
mod record;
#[cfg(test)]
mod tests;

use var_kernel::ops::pool::{Dims, Pool, Pooling};

/// The gradient of [`Pool::pool`].
pub trait PoolBackward: Pool {
    /// Of a maximum, adds `dy[y, x, c]` to dx at the first of the window's greatest cells, row by row; of a
    /// mean, its share to each of the window's cells inside the image. Windows in their order, row by row.
    ///
    /// `x`, `dx`: as the input. `dy`: as the output.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn pool_backward(
        &self,
        dx: &mut Self::Slice,
        dy: &Self::Slice,
        x: &Self::Slice,
        pooling: Pooling,
        d: Dims,
    ) -> Result<(), Self::Error>;
}
