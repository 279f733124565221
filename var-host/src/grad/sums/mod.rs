//! Sums over rows: gradients of biases and tables.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
#[cfg(test)]
mod tests;

use var_kernel::memory::Device;

/// Sizes of a sum over part of each row.
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Rows.
    pub rows: usize,
    /// Floats from the start of a row to the start of the next.
    pub stride: usize,
    /// Where in a row the part begins.
    pub start: usize,
}

/// Sums over rows.
pub trait Sums: Device {
    /// `out[c] += Σᵣ x[r · stride + start + c]`; on the CPU one chain over the rows, in their order.
    ///
    /// `x`: `rows × stride`.
    ///
    /// # Panics
    /// If `x` is of another length or the part reaches over the row.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn sum_rows(&self, out: &mut Self::Slice, x: &Self::Slice, d: Dims) -> Result<(), Self::Error>;

    /// `out[i] += factor · x[i]`
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn add_scaled(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        factor: f32,
    ) -> Result<(), Self::Error>;

    /// `out[i] = value`
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn fill(&self, out: &mut Self::Slice, value: f32) -> Result<(), Self::Error>;
}
