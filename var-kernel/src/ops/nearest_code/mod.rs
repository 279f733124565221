//! The closest row of a codebook to each feature.

pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
mod tests;

use crate::memory::Device;

/// Sizes of a [`NearestCode::nearest_code`].
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Features.
    pub rows: usize,
    /// Rows of the codebook.
    pub codes: usize,
    /// Width of a feature and of a code.
    pub width: usize,
}

/// Distance of a feature and a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// Least `‖x‖² + ‖e‖² − 2·x·e`.
    Euclidean,
    /// Greatest dot product of the vectors made unit length (`‖·‖` no less than 1e-12).
    Angle,
}

/// Vector quantization.
pub trait NearestCode: Device {
    /// Finds each feature's closest code; the first of equals.
    ///
    /// `x`: `rows × width`. `codebook`: `codes × width`. `tokens`: `rows`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, or there is no code.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn nearest_code(
        &self,
        tokens: &mut Self::Tokens,
        x: &Self::Slice,
        codebook: &Self::Slice,
        distance: Distance,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl Dims {
    /// Multiply-adds of the distances.
    pub fn multiply_adds(self) -> u64 {
        (self.rows * self.codes * self.width) as u64
    }

    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check(self, tokens: usize, x: usize, codebook: usize) {
        assert!(self.codes > 0, "nearest_code: the codebook is empty");
        assert_eq!(tokens, self.rows, "nearest_code: tokens is not rows");
        assert_eq!(x, self.rows * self.width, "nearest_code: x is not rows × width");
        assert_eq!(
            codebook,
            self.codes * self.width,
            "nearest_code: codebook is not codes × width"
        );
    }
}
