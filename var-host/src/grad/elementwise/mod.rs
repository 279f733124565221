//! Gradients of activations, gates, factors and placed rows.
//!
//! Those of sums and copies are [`Sums::add_scaled`](super::Sums::add_scaled) and
//! [`Sums::sum_rows`](super::Sums::sum_rows).

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
pub(super) mod node;
mod record;
#[cfg(feature = "cuda")]
mod source;
#[cfg(feature = "cuda")]
mod table;
#[cfg(test)]
mod tests;

use var_kernel::memory::Device;
use var_kernel::ops::PerRow;
use var_kernel::ops::elementwise::{PlaceDims, Unary};

use super::table::TableSlice;

pub(crate) use cpu::silu_slope;
#[cfg(feature = "cuda")]
pub(super) use table::sum_into_table;

/// Gradients of element-wise operations.
pub trait ElementwiseBackward: Device {
    /// `dx[i] += dy[i] · f'(x[i])`; at 0, the derivative of a leaky ReLU is its slope.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn map_backward(
        &self,
        dx: &mut Self::Slice,
        dy: &Self::Slice,
        x: &Self::Slice,
        f: Unary,
    ) -> Result<(), Self::Error>;

    /// `dx[r, c] += gate(r, c) · dy[r, c]`, rows of `width`.
    ///
    /// # Panics
    /// If the lengths differ or the table is too half.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn gated_backward_x(
        &self,
        dx: &mut Self::Slice,
        dy: &Self::Slice,
        gate: PerRow<'_, Self::Slice>,
        width: usize,
    ) -> Result<(), Self::Error>;

    /// `dtable[n · stride + start + c] += Σᵣ dy[r, c] · x[r, c]` over the rows r that share row n of
    /// the table, in their order.
    ///
    /// # Panics
    /// If the lengths differ or the table is too half.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn gated_backward_gate(
        &self,
        dtable: &mut Self::Slice,
        dy: &Self::Slice,
        x: &Self::Slice,
        part: TableSlice,
        width: usize,
    ) -> Result<(), Self::Error>;

    /// `dx[r, c] += dy[r, c] · factors[r]`
    ///
    /// # Panics
    /// If `dx` and `dy` are not as many rows of one width as there are factors.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn scale_rows_backward(
        &self,
        dx: &mut Self::Slice,
        dy: &Self::Slice,
        factors: &Self::Slice,
    ) -> Result<(), Self::Error>;

    /// `dx[r, c] += dout[r, start + c]`
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn place_rows_backward(
        &self,
        dx: &mut Self::Slice,
        dout: &Self::Slice,
        d: PlaceDims,
    ) -> Result<(), Self::Error>;
}
