//! Images and tokens on their way to a device and back.

use crate::memory::Device;

/// Images as bytes on the host, as values in [−1, 1] on the device.
pub trait ImageTransfer: Device {
    /// Copies samples of images to the device, as numbers in [−1, 1]: `sample / 127.5 − 1`.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn upload_images(&self, to: &mut Self::Slice, from: &[u8]) -> Result<(), Self::Error>;

    /// Copies images back to the host, as samples: `round(255 · (clamp(x, −1, 1) + 1) / 2)`, halves to the
    /// even one; NaN becomes 0.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn download_images(&self, to: &mut [u8], from: &Self::Slice) -> Result<(), Self::Error>;

    /// Images that a VQVAE should take together, if memory allows.
    fn images_together(&self) -> usize {
        1
    }
}

/// Tokens on the host and on the device.
pub trait TokenTransfer: Device {
    /// The memory of `run`, to hold as many tokens; contents unspecified.
    fn tokens_in(run: &mut Self::Slice) -> &mut Self::Tokens;

    /// Copies tokens to the device.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn upload_tokens(&self, to: &mut Self::Tokens, from: &[u32]) -> Result<(), Self::Error>;

    /// Copies tokens back to the host.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn download_tokens(&self, to: &mut [u32], from: &Self::Tokens) -> Result<(), Self::Error>;
}
