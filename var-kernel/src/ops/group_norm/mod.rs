//! Normalizes groups of channels over a whole image.

pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
pub mod moments;
#[cfg(test)]
mod tests;

use crate::memory::Device;

/// Sizes of a [`GroupNorm::group_norm`].
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Images.
    pub batch: usize,
    /// Cells of an image: height · width.
    pub positions: usize,
    /// Channels, a multiple of `groups`.
    pub channels: usize,
    /// Groups of neighboring channels.
    pub groups: usize,
}

/// Activation after the normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `y · σ(y)`
    Silu,
}

/// Group normalization (Wu and He, "Group Normalization", 2018).
pub trait GroupNorm: Device {
    /// Normalizes each group of channels of each image to mean 0 and variance 1, then scales.
    ///
    /// `out[p, c] = activation((x[p, c] − mean_g) / √(var_g + eps) · weight[c] + bias[c])`,
    /// mean and (biased) variance over all positions and channels of c's group.
    ///
    /// `x`, `out`: `batch × positions × channels`. `weight`, `bias`: `channels`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn group_norm(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        weight: &Self::Slice,
        bias: &Self::Slice,
        eps: f32,
        activation: Activation,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl Dims {
    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check(self, out: usize, x: usize, weight: usize, bias: usize) {
        let whole = self.batch * self.positions * self.channels;
        assert_eq!(
            self.channels % self.groups,
            0,
            "group_norm: {} channels do not make {} groups",
            self.channels,
            self.groups
        );
        assert_eq!(x, whole, "group_norm: x is not batch × positions × channels");
        assert_eq!(out, whole, "group_norm: out is not batch × positions × channels");
        assert_eq!(weight, self.channels, "group_norm: weight is not channels");
        assert_eq!(bias, self.channels, "group_norm: bias is not channels");
    }
}
