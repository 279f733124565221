//! Automatic differentiation over the kernel's operations.
//!
//! [`Recording`] is a backend like any other: it runs another backend's operations and writes on a
//! [`Tape`] the operands and results of each. So the model's one forward pass serves training too.
//! [`Tape::backward`] then goes back through the tape and runs each operation's gradient.
//!
//! Gradients of weights mirror them: that of place i is at place i of a second piece of memory. Those of
//! values lie where a [`GradientPlan`] says, each only as long as it is wanted. Three rules make that
//! sound: the arena keeps ([`Arena::keeping`](var_kernel::arena::Arena::keeping)), no operation writes
//! an operand, and gradients are **accumulated**, since a value may be read more than once.
//!
//! One folder an operation: `mod.rs` is the contract (the formula, the accumulated outputs), `cpu.rs`
//! the CPU, `cuda.rs` and `kernel.cu` cards (feature `cuda`), `tests.rs` the comparison with finite
//! differences in `f64`.

pub mod attention;
pub mod combine;
#[cfg(all(test, feature = "emulator"))]
mod compiled;
pub mod conv2d;
pub mod cross_entropy;
pub mod feature_distance;
pub mod group_norm;
pub mod layer_norm;
pub mod leaky_relu;
pub mod linear;
pub mod max_pool;
mod memory;
mod recording;
pub mod resize;
mod span;
pub mod split_qkv;
pub mod sums;
mod tape;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(feature = "cuda")]
pub(crate) mod texts;

use var_kernel::cpu::{Cpu, Matrix};
#[cfg(feature = "cuda")]
use var_kernel::cuda::{self, Cuda, Remote};
use var_kernel::dry::{Dry, DryMatrix};
use var_kernel::memory::{Device, Floats};
use var_kernel::ops::{Backend, JudgeBackend};
use var_kernel::remote::{Places, WORD};

pub use attention::AttentionBackward;
pub use combine::CombineBackward;
pub use conv2d::Conv2dBackward;
pub use cross_entropy::CrossEntropyBackward;
pub use feature_distance::FeatureDistanceBackward;
pub use group_norm::GroupNormBackward;
pub use layer_norm::LayerNormBackward;
pub use leaky_relu::LeakyReluBackward;
pub use linear::LinearBackward;
pub use max_pool::MaxPoolBackward;
pub use memory::Memory;
pub use recording::{Detach, Recorded, RecordedSource, Recording};
pub use resize::ResizeBackward;
pub use span::{Region, Span};
pub use split_qkv::SplitQkvBackward;
pub use sums::Sums;
pub use tape::{GradientPlan, Tape};

/// A device with addresses that the tape can record.
pub trait Mirrored: Device {
    /// Where `slice` begins, in floats from some fixed place.
    fn place(slice: &Self::Slice) -> usize;

    /// A matrix over `weights`, in whatever format they are.
    fn matrix_of<'a>(&self, weights: &'a Self::Slice) -> Self::Matrix<'a>;
}

/// A backend with operations that can be recorded on a tape.
pub trait Recordable: JudgeBackend + Mirrored {}

impl<B: JudgeBackend + Mirrored> Recordable for B {}

/// Everything a model is made of, forwards and backwards.
pub trait TrainBackend:
    Recordable
    + AttentionBackward
    + CombineBackward
    + Conv2dBackward
    + CrossEntropyBackward
    + FeatureDistanceBackward
    + GroupNormBackward
    + LayerNormBackward
    + LeakyReluBackward
    + LinearBackward
    + MaxPoolBackward
    + ResizeBackward
    + SplitQkvBackward
    + Sums
{
}

impl<B> TrainBackend for B where
    B: Recordable
        + AttentionBackward
        + CombineBackward
        + Conv2dBackward
        + CrossEntropyBackward
        + FeatureDistanceBackward
        + GroupNormBackward
        + LayerNormBackward
        + LeakyReluBackward
        + LinearBackward
        + MaxPoolBackward
        + ResizeBackward
        + SplitQkvBackward
        + Sums
{
}

impl Mirrored for Cpu<'_> {
    fn place(slice: &[f32]) -> usize {
        slice.as_ptr().addr() / size_of::<f32>()
    }

    fn matrix_of<'a>(&self, weights: &'a [f32]) -> Matrix<'a> {
        Matrix::F32(weights)
    }
}

impl<B: Backend> Mirrored for Dry<'_, B, Places> {
    fn place(slice: &Places) -> usize {
        (slice.address() / WORD) as usize
    }

    fn matrix_of(&self, weights: &Places) -> DryMatrix {
        DryMatrix(weights.len())
    }
}

#[cfg(feature = "cuda")]
impl Mirrored for Cuda {
    fn place(slice: &Remote) -> usize {
        (slice.address() / WORD) as usize
    }

    fn matrix_of<'a>(&self, weights: &'a Remote) -> cuda::Matrix<'a> {
        cuda::Matrix::new(weights, self.element_of(weights), weights.len())
    }
}
