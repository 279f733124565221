//! Gradient of the leaky rectifier.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
mod tests;

use var_kernel::ops::LeakyRelu;

/// The gradient of [`LeakyRelu::leaky_relu`].
pub trait LeakyReluBackward: LeakyRelu {
    /// `dx[i] += dy[i]` where `x[i]` is above 0, else `slope · dy[i]`.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn leaky_relu_backward(
        &self,
        dx: &mut Self::Slice,
        dy: &Self::Slice,
        x: &Self::Slice,
        slope: f32,
    ) -> Result<(), Self::Error>;
}
