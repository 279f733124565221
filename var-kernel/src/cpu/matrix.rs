//! A weight matrix as it is stored: full, half or eight-bit numbers.

use half::{bf16, f16};

/// Weights per scale factor in [`Matrix::Q8`], along a row.
pub const Q8_BLOCK: usize = 32;

/// A row-major weight matrix in its stored format, widened to `f32` on the way into a product, but for
/// `Q8` in a linear layer.
///
/// Widening is exact for the 16-bit formats; `Q8` gives `value · scale` rounded once.
#[derive(Clone, Copy, Debug)]
pub enum Matrix<'a> {
    /// IEEE single precision.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// The upper half of a single.
    Bf16(&'a [bf16]),
    /// Eight-bit integers with one factor for each [`Q8_BLOCK`] neighbors in a row.
    ///
    /// A linear layer of whole blocks quantizes its activations too, block by block of a row: `s = max |x| / 127`,
    /// `q = x / s` rounded to nearest even within ±127, and sums `y ← fma(Σ q·w, s · s_w, y)` over the blocks in
    /// order, `Σ q·w` an exact integer. A block with a number that is not finite makes its row's sums NaN.
    Q8 {
        /// The integers, row-major.
        values: &'a [i8],
        /// `values.len() / Q8_BLOCK` factors.
        scales: &'a [f16],
    },
}

impl Matrix<'_> {
    /// How many weights it holds.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::Q8 { values, .. } => values.len(),
        }
    }

    /// Bytes of all weights as they are stored.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F32(values) => size_of_val(*values),
            Self::F16(values) => size_of_val(*values),
            Self::Bf16(values) => size_of_val(*values),
            Self::Q8 { values, scales } => size_of_val(*values) + size_of_val(*scales),
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight at a flat row-major `index`, widened.
    ///
    /// # Panics
    /// If `index` is past the end.
    pub fn at(&self, index: usize) -> f32 {
        match self {
            Self::F32(values) => values[index],
            Self::F16(values) => values[index].to_f32(),
            Self::Bf16(values) => values[index].to_f32(),
            Self::Q8 { values, scales } => {
                f32::from(values[index]) * scales[index / Q8_BLOCK].to_f32()
            }
        }
    }
}
