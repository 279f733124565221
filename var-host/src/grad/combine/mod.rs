//! Gradients of activations, gates, factors, placed rows and looked-up rows.
//!
//! Those of sums and copies are [`Sums::add_scaled`](super::Sums::add_scaled) and
//! [`Sums::sum_rows`](super::Sums::sum_rows).

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod table;
#[cfg(test)]
mod tests;

use var_kernel::memory::Device;
use var_kernel::ops::PerRow;
use var_kernel::ops::combine::PlaceDims;

pub(crate) use cpu::silu_slope;
#[cfg(feature = "cuda")]
pub(super) use table::sum_into_table;

/// The part of a table that a [`PerRow`] reads, where its gradient goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where the part begins in a row of the table.
    pub start: usize,
    /// Width of a row of the table.
    pub stride: usize,
    /// Rows of the matrix that share one row of the table.
    pub rows: usize,
}

impl Part {
    /// Refuses a gradient of `table` floats, too short for `rows` rows of `width`; returns how many of them
    /// those rows share.
    ///
    /// # Panics
    /// If it is, or the part reaches over its row of the table.
    #[track_caller]
    pub(super) fn check(self, table: usize, rows: usize, width: usize) -> usize {
        assert!(self.start + width <= self.stride, "the part reaches over its row of the table");
        let used = rows.div_ceil(self.rows) * self.stride;
        assert!(table >= used, "the table's gradient: {table} floats, {used} wanted");
        used
    }
}

/// Gradients of operations of one pass.
pub trait CombineBackward: Device {
    /// `dx[i] += dy[i] · gelu'(x[i])`, GELU in its tanh form.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn gelu_backward(
        &self,
        dx: &mut Self::Slice,
        dy: &Self::Slice,
        x: &Self::Slice,
    ) -> Result<(), Self::Error>;

    /// `dx[i] += dy[i] · silu'(x[i])`
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn silu_backward(
        &self,
        dx: &mut Self::Slice,
        dy: &Self::Slice,
        x: &Self::Slice,
    ) -> Result<(), Self::Error>;

    /// `dx[r, c] += gate(r, c) · dy[r, c]`, rows of `width`.
    ///
    /// # Panics
    /// If the lengths differ or the table is too short.
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
    /// If the lengths differ or the table is too short.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn gated_backward_gate(
        &self,
        dtable: &mut Self::Slice,
        dy: &Self::Slice,
        x: &Self::Slice,
        part: Part,
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

    /// `dtable[indices[r]] += dout[r]`, rows of `width`, in their order.
    ///
    /// # Panics
    /// If `dout` is not `indices.len() × width` or an index is past the table's end.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn embedding_backward(
        &self,
        dtable: &mut Self::Slice,
        dout: &Self::Slice,
        indices: &[u32],
        width: usize,
    ) -> Result<(), Self::Error>;
}
