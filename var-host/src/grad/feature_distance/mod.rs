//! Gradient of the distance between features.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
pub(super) mod node;
mod record;
#[cfg(test)]
mod tests;

use var_kernel::ops::feature_distance::{Dims, FeatureDistance};

/// The gradient of [`FeatureDistance::feature_distance`].
pub trait FeatureDistanceBackward: FeatureDistance {
    /// The gradient with respect to the features `a`.
    ///
    /// `da[c] += (g[c] − a[c] · (g·a) / (‖a‖ · A)) / A`, `A = ‖a‖ + LEAST`,
    /// `g[c] = dout · 2 weights[c] · (a[c]/A − b[c]/B) / cells`; nothing where a cell of `a` has no
    /// features, which has no direction to turn.
    ///
    /// `da`, `a`, `b`: `batch × cells × channels`. `dout`: `batch`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn feature_distance_backward(
        &self,
        da: &mut Self::Slice,
        dout: &Self::Slice,
        a: &Self::Slice,
        b: &Self::Slice,
        weights: &Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}
