//! Leaky ReLU.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::memory::Device;

/// Leaky rectified linear units (Maas and others, "Rectifier Nonlinearities Improve Neural Network
/// Acoustic Models", 2013).
pub trait LeakyRelu: Device {
    /// `out[i] = x[i]` where it is above 0, else `slope · x[i]`. A slope of 0 is plain ReLU.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn leaky_relu(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        slope: f32,
    ) -> Result<(), Self::Error>;
}
