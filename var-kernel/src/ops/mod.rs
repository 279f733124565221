//! The vocabulary every backend speaks; one folder an operation.
//!
//! | operation | computes |
//! |---|---|
//! | [`elementwise`] | activations, sums, gates, copies |
//! | [`embedding`] | rows of a table by index |
//! | [`layer_norm`] | rows to mean 0 and variance 1, then scaled and shifted by a condition |
//! | [`linear`] | rows · weightᵀ + bias, then GELU, gate and residual, or a table |
//! | [`split_qkv`] | queries, keys and values out of one product, into a cache |
//! | [`attention`] | softmax(q·kᵀ)·v for each head |
//! | [`conv2d`] | convolutions with bias, then a residual or ReLU |
//! | [`pool`] | the maximum or the mean of each window |
//! | [`group_norm`] | groups of channels to mean 0 and variance 1, then SiLU |
//! | [`resize`] | bicubic up, area down |
//! | [`quantizer_step`] | a scale's contribution to the latent: bicubic up, then a convolution |
//! | [`nearest_code`] | the closest row of a codebook |
//! | [`cross_entropy`] | cross-entropy loss |
//! | [`sample_tokens`] | logits → tokens: guidance, filter, draw |
//! | [`feature_distance`] | distance of two images' features, as LPIPS sums it |
//!
//! A folder's `mod.rs` is the contract (trait, sizes, checks), `cpu.rs` the CPU, `cuda.rs` and
//! `kernel.cu` GPUs (feature `cuda`), `dry.rs` the dry run, `tests.rs` the comparison with a naive oracle in
//! `f64`. An operation is its folder and its line in each list of this file.

pub mod attention;
pub mod conv2d;
pub mod cross_entropy;
pub mod elementwise;
pub mod embedding;
pub mod feature_distance;
pub mod group_norm;
pub mod layer_norm;
pub mod linear;
pub mod nearest_code;
mod operand;
pub mod pool;
pub mod quantizer_step;
pub mod resize;
pub mod sample_tokens;
pub mod split_qkv;
#[cfg(test)]
pub(crate) mod testing;

pub use attention::Attention;
pub use conv2d::Conv2d;
pub use cross_entropy::CrossEntropy;
pub use elementwise::Elementwise;
pub use embedding::Embedding;
pub use feature_distance::FeatureDistance;
pub use group_norm::GroupNorm;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use nearest_code::NearestCode;
pub use operand::{Channels, PerRow};
pub use pool::Pool;
pub use quantizer_step::QuantizerStep;
pub use resize::Resize;
pub use sample_tokens::SampleTokens;
pub use split_qkv::SplitQkv;

use crate::capture::{Capture, Segments};
use crate::transfer::{ImageTransfer, TokenTransfer};

/// Declares a backend: a trait that stands for several operations.
macro_rules! backend {
    ($(#[$doc:meta])* $name:ident: $($operation:path,)*) => {
        $(#[$doc])*
        pub trait $name: $($operation +)* {}

        impl<B: $($operation +)*> $name for B {}
    };
}

backend! {
    /// All operations of a model, as a backend must provide them.
    Backend:
    Capture,
    ImageTransfer,
    Segments,
    TokenTransfer,
    Attention,
    Conv2d,
    CrossEntropy,
    SampleTokens,
    Elementwise,
    Embedding,
    GroupNorm,
    LayerNorm,
    Linear,
    NearestCode,
    QuantizerStep,
    Resize,
    SplitQkv,
}

backend! {
    /// The further operations of LPIPS and of the discriminator of VQVAE training.
    PerceptualBackend:
    Backend,
    FeatureDistance,
    Pool,
}

/// The kernels of all operations.
#[cfg(all(test, feature = "cuda"))]
pub(crate) static SOURCES: [&crate::cuda::kernel_source::KernelSource; 15] = [
    &attention::cuda::SOURCE,
    &conv2d::cuda::SOURCE,
    &cross_entropy::cuda::SOURCE,
    &sample_tokens::cuda::SOURCE,
    &elementwise::cuda::SOURCE,
    &embedding::cuda::SOURCE,
    &feature_distance::cuda::SOURCE,
    &group_norm::cuda::SOURCE,
    &layer_norm::cuda::SOURCE,
    &linear::cuda::SOURCE,
    &nearest_code::cuda::SOURCE,
    &pool::cuda::SOURCE,
    &quantizer_step::cuda::SOURCE,
    &resize::cuda::SOURCE,
    &split_qkv::cuda::SOURCE,
];

#[cfg(all(test, feature = "cuda"))]
mod fast_vs_naive;
#[cfg(all(test, feature = "cuda"))]
mod gpu_commands;
#[cfg(test)]
mod less_scratch;
#[cfg(all(test, feature = "cuda"))]
mod nvrtc;
