//! Gradients of the adaptive LayerNorm.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
pub(super) mod node;
mod record;
#[cfg(test)]
mod tests;

use var_kernel::ops::PerRow;
use var_kernel::ops::layer_norm::{Dims, LayerNorm};

use super::table::TableSlice;

/// Gradients of `y = n · (1 + scale) + shift`, n the normalized row.
pub trait LayerNormBackward: LayerNorm {
    /// `dx += (g − mean(g) − n · mean(g · n)) / deviation`, `g = dy · (1 + scale)`.
    ///
    /// `x`, `dx`, `dy`: `rows × channels`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn layer_norm_backward_x(
        &self,
        dx: &mut Self::Slice,
        dy: &Self::Slice,
        x: &Self::Slice,
        scale: PerRow<'_, Self::Slice>,
        eps: f32,
        d: Dims,
    ) -> Result<(), Self::Error>;

    /// `dtable[n · stride + start + c] += Σᵣ dy[r, c] · n[r, c]` over the rows r that share row n of
    /// the table, in their order.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn layer_norm_backward_scale(
        &self,
        dtable: &mut Self::Slice,
        dy: &Self::Slice,
        x: &Self::Slice,
        part: TableSlice,
        eps: f32,
        d: Dims,
    ) -> Result<(), Self::Error>;

    /// `dtable[n · stride + start + c] += Σᵣ dy[r, c]`, as for the scale.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn layer_norm_backward_shift(
        &self,
        dtable: &mut Self::Slice,
        dy: &Self::Slice,
        part: TableSlice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}
