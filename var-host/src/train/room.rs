//! Memory of a training step.

use var_kernel::dry::Sizes;

use super::TrainError;
use super::home::Home;
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

/// Working memory for batches, kept from one to the next.
pub(super) struct Buffers<H: Home> {
    /// Of the values; judging takes no more.
    pub(super) values: H::Working,
    gradients: H::Working,
    scratch: H::Working,
}

impl<H: Home> Default for Buffers<H> {
    fn default() -> Self {
        let [values, gradients, scratch] = Default::default();
        Self { values, gradients, scratch }
    }
}

impl<H: Home> Buffers<H> {
    /// As much of it as a batch needs.
    pub(super) fn room(
        &mut self,
        d: &H::Device<'_>,
        needs: Needs,
    ) -> Result<Room<'_, H::Slice>, TrainError> {
        Ok(Room {
            values: H::room(d, &mut self.values, needs.values)?,
            gradients: H::room(d, &mut self.gradients, needs.values)?,
            scratch: H::room(d, &mut self.scratch, needs.scratch)?,
        })
    }
}
