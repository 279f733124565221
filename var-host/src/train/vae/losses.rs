//! The terms of a VQVAE's loss.

use super::pixel_losses::PixelLosses;
use crate::parallel::{ProcessGroup, ProcessGroupError};

/// The terms of the loss: means over the images of all ranks, or their sums on the way there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VqvaeLosses {
    /// Of images.
    pub pixels: PixelLosses,
    /// LPIPS; 0 where it is no part.
    pub perceptual: f64,
    /// The quantizer's.
    pub quantizer: f64,
    /// The reconstructions' before the discriminator.
    pub adversarial: f64,
    /// The discriminator's own.
    pub discriminator: f64,
}

impl VqvaeLosses {
    /// Adds other sums.
    pub(super) fn add(&mut self, other: &Self) {
        let mut other = *other;
        self.terms().into_iter().zip(other.terms()).for_each(|(sum, more)| *sum += *more);
    }

    /// Adds up those of all ranks.
    ///
    /// # Errors
    /// If another rank cannot be reached.
    pub(super) fn sum(&mut self, ranks: &dyn ProcessGroup) -> Result<(), ProcessGroupError> {
        let mut all = self.terms().map(|sum| *sum);
        ranks.sum_f64(&mut all)?;
        self.terms().into_iter().zip(all).for_each(|(sum, all)| *sum = all);
        Ok(())
    }

    /// Means over so many images.
    pub(super) fn over(mut self, images: u32) -> Self {
        self.terms().into_iter().for_each(|sum| *sum /= f64::from(images));
        self
    }

    fn terms(&mut self) -> [&mut f64; 6] {
        let Self { pixels, perceptual, quantizer, adversarial, discriminator } = self;
        let PixelLosses { absolute, squared } = pixels;
        [absolute, squared, perceptual, quantizer, adversarial, discriminator]
    }
}
