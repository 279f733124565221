//! Gradients of attention.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
pub(super) mod node;
mod record;
#[cfg(test)]
mod tests;

use var_kernel::ops::attention::{Attention, Dims, Mask};

/// Gradients of `out = P·v`, `P = softmax(scale · q·kᵀ)`, separately for each sequence and head.
pub trait AttentionBackward: Attention {
    /// Floats of scratch memory that [`AttentionBackward::attention_backward`] wants for `d`.
    fn attention_backward_scratch(&self, d: Dims) -> usize;

    /// With `dP = dout·vᵀ` and `dS = P ∘ (dP − Σⱼ dP ∘ P)`:
    ///
    /// `dq += scale · dS·k`, `dk += scale · dSᵀ·q`, `dv += Pᵀ·dout`. P is computed again, some queries
    /// at a time (as in Dao and others, "FlashAttention", 2022, section 3.1).
    ///
    /// `gradients`: dq, dk, dv. `dout`, `q`, dq: `batch × queries × width`. `k`, `v`, dk, dv: `batch ×
    /// keys × width`: the capacity must be the number of keys.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, or the capacity is not the number of keys.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn attention_backward(
        &self,
        gradients: [&mut Self::Slice; 3],
        dout: &Self::Slice,
        q: &Self::Slice,
        k: &Self::Slice,
        v: &Self::Slice,
        scale: f32,
        mask: Mask<'_>,
        scratch: &mut Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}
