//! Memory of a training step.

use var_kernel::arena::ALIGNMENT;
use var_kernel::remote::DryAddresses;

use super::TrainError;
use super::layout::ParameterLayout;
use super::storage::Storage;
use crate::grad::{GradientPlan, Tape, TrainBackend};

/// Floats that the values of a batch, their gradients and the scratch memory of its backward pass take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkspaceSize {
    /// Of the values.
    pub values: usize,
    /// Of their gradients, each as long as it is wanted.
    pub gradients: usize,
    /// Of scratch memory.
    pub scratch: usize,
}

impl WorkspaceSize {
    /// Of a batch that was recorded in `values` floats.
    pub(super) fn of<B: TrainBackend>(
        b: &B,
        values: usize,
        tape: &Tape,
        plan: &GradientPlan,
    ) -> Self {
        Self { values, gradients: plan.floats(), scratch: tape.scratch(b) }
    }

    /// Floats of all of them.
    pub fn floats(&self) -> usize {
        self.values + self.gradients + self.scratch
    }
}

/// Sizes by the shapes of batches that take them: a run has few shapes, and a dry run of a d16 with 8
/// images takes 0.28 ms.
///
/// A trainer computes on one device, so that is no part of the shape.
pub(super) struct SizeCache<K, N = WorkspaceSize>(Vec<(K, N)>);

impl<K, N> Default for SizeCache<K, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq, N: Copy> SizeCache<K, N> {
    /// The size of a batch of this shape; `measure` tells it the first time.
    pub(super) fn get(&mut self, shape: K, measure: impl FnOnce(&K) -> N) -> N {
        if let Some((_, size)) = self.0.iter().find(|(known, _)| *known == shape) {
            return *size;
        }
        let size = measure(&shape);
        self.0.push((shape, size));
        size
    }
}

/// Places for a dry run: of the weights that `layout` describes, and of as many values as are asked for.
pub(super) fn dry_memory<'p>(layout: &ParameterLayout) -> [&'p mut DryAddresses; 2] {
    let weights = layout.floats().next_multiple_of(ALIGNMENT);
    [
        DryAddresses::new(ALIGNMENT, layout.floats()),
        DryAddresses::new(ALIGNMENT + weights, usize::MAX >> 8),
    ]
}

/// Memory for a batch: [`WorkspaceSize`], filled.
pub struct TrainWorkspace<'m, S: ?Sized> {
    /// Values.
    pub values: &'m mut S,
    /// Their gradients, where the batch's [`GradientPlan`] says.
    pub gradients: &'m mut S,
    /// Scratch memory.
    pub scratch: &'m mut S,
}

/// Memory of the values of a batch, kept from one to the next; an evaluation takes no other.
pub struct ValueMemory<S: Storage> {
    memory: S::Workspace,
    /// Floats of an evaluation by the number of images.
    evaluated: SizeCache<usize, usize>,
}

impl<S: Storage> Default for ValueMemory<S> {
    fn default() -> Self {
        Self { memory: S::Workspace::default(), evaluated: SizeCache::default() }
    }
}

impl<S: Storage> ValueMemory<S> {
    /// Memory for an evaluation of so many images; `measure` tells its floats the first time.
    pub(super) fn evaluation(
        &mut self,
        d: &S::Device<'_>,
        images: usize,
        measure: impl FnOnce(usize) -> usize,
    ) -> Result<&mut S::Slice, TrainError> {
        let floats = self.evaluated.get(images, |images| measure(*images));
        S::workspace(d, &mut self.memory, floats)
    }
}

/// Working memory for batches, kept from one to the next.
pub(super) struct Buffers<S: Storage> {
    pub(super) values: ValueMemory<S>,
    gradients: S::Workspace,
    scratch: S::Workspace,
}

impl<S: Storage> Default for Buffers<S> {
    fn default() -> Self {
        let [gradients, scratch] = Default::default();
        Self { values: ValueMemory::default(), gradients, scratch }
    }
}

impl<S: Storage> Buffers<S> {
    /// As much of it as a batch needs.
    pub(super) fn workspace(
        &mut self,
        d: &S::Device<'_>,
        needs: WorkspaceSize,
    ) -> Result<TrainWorkspace<'_, S::Slice>, TrainError> {
        Ok(TrainWorkspace {
            values: S::workspace(d, &mut self.values.memory, needs.values)?,
            gradients: S::workspace(d, &mut self.gradients, needs.gradients)?,
            scratch: S::workspace(d, &mut self.scratch, needs.scratch)?,
        })
    }
}
