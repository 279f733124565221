//! How far apart the features of two images are, each cell's made unit length first.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
mod tests;

use crate::memory::Device;

/// Epsilon of the norm of a cell's features.
pub const LEAST: f32 = 1e-10;

/// Sizes of a [`FeatureDistance::feature_distance`].
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Images.
    pub batch: usize,
    /// Cells of an image.
    pub cells: usize,
    /// Channels of a cell.
    pub channels: usize,
}

/// The distance that LPIPS adds up over the stages of its network (Zhang and others, "The
/// Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, equation 1).
pub trait FeatureDistance: Device {
    /// For each image `out = mean_cells Σ_c weights[c] · (a[c]/‖a‖ − b[c]/‖b‖)²`, a and b the
    /// features of a cell, [`LEAST`] added to each length.
    ///
    /// `a`, `b`: `batch × cells × channels`. `weights`: `channels`. `out`: `batch`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn feature_distance(
        &self,
        out: &mut Self::Slice,
        a: &Self::Slice,
        b: &Self::Slice,
        weights: &Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl Dims {
    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub fn check(self, out: usize, a: usize, b: usize, weights: usize) {
        let whole = self.batch * self.cells * self.channels;
        assert!(self.channels > 0, "feature_distance: no channels");
        assert_eq!(a, whole, "feature_distance: a is not batch × cells × channels");
        assert_eq!(b, whole, "feature_distance: b is not batch × cells × channels");
        assert_eq!(weights, self.channels, "feature_distance: weights is not channels");
        assert_eq!(out, self.batch, "feature_distance: out is not batch");
    }
}
