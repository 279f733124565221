//! The gradient of an embedding.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
pub(super) mod node;
mod record;
#[cfg(test)]
mod tests;

use var_kernel::memory::Device;

/// The gradient of [`Embedding::embedding`](var_kernel::ops::Embedding::embedding).
pub trait EmbeddingBackward: Device {
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
