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
//! the CPU, `cuda.rs` and `kernel.cu` GPUs (feature `cuda`), `record.rs` the recorded operation, `node.rs` its
//! place on the tape, `tests.rs` the comparison with finite differences in `f64`. The list of all is
//! `operations.rs`.

pub mod attention;
mod backend;
pub mod conv2d;
pub mod cross_entropy;
pub mod elementwise;
pub mod embedding;
pub mod feature_distance;
pub mod group_norm;
#[cfg(feature = "cuda")]
pub(crate) mod kernel_sources;
pub mod layer_norm;
pub mod linear;
mod memory;
#[cfg(all(test, feature = "cuda"))]
mod nvrtc;
mod operations;
pub mod pool;
mod recording;
pub mod resize;
mod span;
pub mod split_qkv;
pub mod sums;
mod table;
mod tape;
#[cfg(test)]
pub(crate) mod testing;

pub use attention::AttentionBackward;
pub use backend::{Addressable, Recordable};
pub use conv2d::Conv2dBackward;
pub use cross_entropy::CrossEntropyBackward;
pub use elementwise::ElementwiseBackward;
pub use embedding::EmbeddingBackward;
pub use feature_distance::FeatureDistanceBackward;
pub use group_norm::GroupNormBackward;
pub use layer_norm::LayerNormBackward;
pub use linear::LinearBackward;
pub use memory::Memory;
pub use operations::TrainBackend;
pub use pool::PoolBackward;
pub use recording::{Detach, RecordedMatrix, RecordedSource, Recording};
pub use resize::ResizeBackward;
pub use span::{Region, Span};
pub use split_qkv::SplitQkvBackward;
pub use sums::Sums;
pub use table::TableSlice;
pub use tape::{GradientPlan, Tape};
