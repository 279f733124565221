//! Adaptive LayerNorm: rows to mean 0 and variance 1, then scaled and shifted by a condition.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
mod tests;

use crate::memory::{Device, Floats};
use crate::ops::PerRow;

/// Sizes of a [`LayerNorm::layer_norm`].
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Rows.
    pub rows: usize,
    /// Width of a row.
    pub channels: usize,
}

/// LayerNorm without weights of its own (Ba and others, 2016), modulated by a condition (Peebles and
/// Xie, "Scalable Diffusion Models with Transformers", 2023).
pub trait LayerNorm: Device {
    /// Normalizes each row, then scales and shifts it.
    ///
    /// `out[r, c] = (x[r, c] − mean_r) / √(var_r + eps) · (1 + scale(r, c)) + shift(r, c)`, variance
    /// biased.
    ///
    /// `x`, `out`: `rows × channels`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn layer_norm(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        scale: PerRow<'_, Self::Slice>,
        shift: PerRow<'_, Self::Slice>,
        eps: f32,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl Dims {
    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check<S: Floats + ?Sized>(
        self,
        out: usize,
        x: usize,
        scale: PerRow<'_, S>,
        shift: PerRow<'_, S>,
    ) {
        assert_eq!(x, self.rows * self.channels, "layer_norm: x is not rows × channels");
        assert_eq!(out, x, "layer_norm: out is not rows × channels");
        scale.check(self.rows, self.channels);
        shift.check(self.rows, self.channels);
    }
}
