//! Linear layer: rows times a transposed weight matrix, plus bias, with a fused epilogue.

pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
mod gemv;
#[cfg(test)]
mod tests;

use crate::memory::{Device, Floats};
use crate::ops::PerRow;

/// Sizes of a [`Linear::linear`].
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Rows of `x` and `out`.
    pub rows: usize,
    /// Width of `x` and of a row of `weight`.
    pub inner: usize,
    /// Width of `out`, rows of `weight`.
    pub outer: usize,
}

/// Fused operation on `y = x·weightᵀ + bias` before it is written.
pub enum Epilogue<'a, S: ?Sized> {
    /// `out = y`
    None,
    /// `out = gelu(y)`, the tanh form.
    Gelu,
    /// `out[r, c] = residual[r, c] + gate(r, c) · y[r, c]`
    Gated {
        /// `rows × outer`.
        residual: &'a S,
        /// `outer` wide.
        gate: PerRow<'a, S>,
    },
    /// `out[r, c] = y[r, c] + table[r mod period, c]`, `table` of `period × outer`.
    Plus {
        /// `period × outer`.
        table: &'a S,
    },
}

// Derived, it would want the slice itself to be `Copy`.
impl<S: ?Sized> Clone for Epilogue<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for Epilogue<'_, S> {}

/// `out = epilogue(x · weightᵀ + bias)`.
pub trait Linear: Device {
    /// Multiplies each row by a transposed weight matrix.
    ///
    /// `out[r, c] = epilogue(Σₖ x[r, k] · weight[c, k] + bias[c])`
    ///
    /// `x`: `rows × inner`. `weight`: `outer × inner`, as in PyTorch. `bias`: `outer`, or none.
    /// `out`: `rows × outer`. On the CPU the sum is one chain of fused multiply-adds that starts at
    /// 0 and runs in order of k; the bias is added last. q8 weights of a width of whole blocks take
    /// integers there: see [`crate::cpu::Matrix::Q8`].
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn linear(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        weight: Self::Matrix<'_>,
        bias: Option<&Self::Slice>,
        epilogue: Epilogue<'_, Self::Slice>,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl<S: Floats + ?Sized> Epilogue<'_, S> {
    /// Panics unless every operand has the length `d` gives.
    #[track_caller]
    pub(crate) fn check(self, d: Dims) {
        match self {
            Self::None | Self::Gelu => {}
            Self::Gated { residual, gate } => {
                let whole = d.rows * d.outer;
                assert_eq!(residual.len(), whole, "linear: residual is not rows × outer");
                gate.check(d.rows, d.outer);
            }
            Self::Plus { table } => {
                let whole_rows = !table.is_empty() && table.len().is_multiple_of(d.outer.max(1));
                assert!(whole_rows, "linear: table is not period × outer (outer {})", d.outer);
            }
        }
    }
}

impl Dims {
    /// Multiply-adds of the product.
    pub fn multiply_adds(self) -> u64 {
        self.rows as u64 * self.inner as u64 * self.outer as u64
    }

    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check(self, out: usize, x: usize, weight: usize, bias: Option<usize>) {
        let Self { rows, inner, outer } = self;
        assert_eq!(out, rows * outer, "linear: out is not rows × outer ({rows} × {outer})");
        assert_eq!(x, rows * inner, "linear: x is not rows × inner ({rows} × {inner})");
        assert_eq!(
            weight,
            outer * inner,
            "linear: weight is not outer × inner ({outer} × {inner})"
        );
        assert_eq!(bias.unwrap_or(outer), outer, "linear: bias is not outer");
    }
}
