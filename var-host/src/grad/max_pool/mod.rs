//! Gradient of pooling.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
mod tests;

use var_kernel::ops::max_pool::{Dims, MaxPool};

/// The gradient of [`MaxPool::max_pool`].
pub trait MaxPoolBackward: MaxPool {
    /// Adds `dy[y, x, c]` to dx where `x` had the greatest of the four cells, the first of equals,
    /// row by row.
    ///
    /// `x`, `dx`: as the input. `dy`: as the output.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn max_pool_backward(
        &self,
        dx: &mut Self::Slice,
        dy: &Self::Slice,
        x: &Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}
