//! Memory of a training step.

use var_kernel::dry::Sizes;

use crate::grad::TrainBackend;

/// Floats that the values of a batch and the scratch memory of its backward pass take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Of the values; their gradients take as many.
    pub values: usize,
    /// Of scratch memory.
    pub scratch: usize,
}

impl Needs {
    /// Floats of scratch memory that the gradient of an operation of these sizes wants.
    pub(super) fn scratch_of<B: TrainBackend>(b: &B, sizes: Sizes) -> usize {
        match sizes {
            Sizes::Attention(d) => b.attention_backward_scratch(d),
            Sizes::Conv2d(d) => b.conv2d_backward_scratch(d),
            Sizes::GroupNorm(d) => b.group_norm_backward_sums(d),
        }
    }
}

/// Memory for a batch: [`Needs`], filled.
pub struct Room<'m, S: ?Sized> {
    /// Values.
    pub values: &'m mut S,
    /// Their gradients.
    pub gradients: &'m mut S,
    /// Scratch memory.
    pub scratch: &'m mut S,
}
