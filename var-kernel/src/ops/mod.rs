//! The vocabulary every backend speaks; one folder an operation.
//!
//! | operation | computes |
//! |---|---|
//! | [`blend, add_table, gelu, silu, gated, scale_rows, place_rows, embedding, copy`](combine) | one pass over memory |
//! | [`layer_norm`] | rows to mean 0 and variance 1, then scaled and shifted by a condition |
//! | [`linear`] | rows · weightᵀ + bias, then GELU, gate and residual, or a table |
//! | [`split_qkv`] | queries, keys and values out of one product, into a cache |
//! | [`attention`] | softmax(q·kᵀ)·v for each head |
//! | [`conv2d`] | 3×3 and 1×1 convolutions |
//! | [`rectangular_conv2d`] | convolutions of any kernel, stride and padding, then ReLU |
//! | [`pool`] | the greatest or the mean of each window |
//! | [`group_norm`] | groups of channels to mean 0 and variance 1, then SiLU |
//! | [`resize`] | bicubic up, area down |
//! | [`refine`] | a scale's contribution to the latent: bicubic up, then a convolution |
//! | [`nearest_code`] | the closest row of a codebook |
//! | [`cross_entropy`] | cross-entropy loss |
//! | [`draw`] | logits → tokens: guidance, filter, draw |
//! | [`leaky_relu`] | leaky ReLU |
//! | [`max_pool`] | 2 × 2 max pooling, stride 2 |
//! | [`feature_distance`] | distance of two pictures' features, as LPIPS sums it |
//!
//! A folder's `mod.rs` is the contract (trait, sizes, checks), `cpu.rs` the CPU, `cuda.rs` and
//! `kernel.cu` cards (feature `cuda`), `tests.rs` the
//! comparison with a naive oracle in `f64`.

pub mod attention;
pub mod combine;
pub mod conv2d;
pub mod cross_entropy;
pub mod draw;
pub mod feature_distance;
pub mod group_norm;
pub mod layer_norm;
pub mod leaky_relu;
pub mod linear;
pub mod max_pool;
pub mod nearest_code;
mod operand;
pub mod pool;
pub mod rectangular_conv2d;
pub mod refine;
pub mod resize;
pub mod split_qkv;
#[cfg(test)]
pub(crate) mod testing;

pub use attention::Attention;
pub use combine::Combine;
pub use conv2d::Conv2d;
pub use cross_entropy::CrossEntropy;
pub use draw::Draw;
pub use feature_distance::FeatureDistance;
pub use group_norm::GroupNorm;
pub use layer_norm::LayerNorm;
pub use leaky_relu::LeakyRelu;
pub use linear::Linear;
pub use max_pool::MaxPool;
pub use nearest_code::NearestCode;
pub use operand::{Channels, PerRow};
pub use pool::Pool;
pub use rectangular_conv2d::RectangularConv2d;
pub use refine::Refine;
pub use resize::Resize;
pub use split_qkv::SplitQkv;

/// All operations of a model, as a backend must provide them. ([`RectangularConv2d`] and [`Pool`] are
/// for networks that look at its pictures.)
pub trait Backend:
    Attention
    + Combine
    + Conv2d
    + CrossEntropy
    + Draw
    + GroupNorm
    + LayerNorm
    + Linear
    + NearestCode
    + Refine
    + Resize
    + SplitQkv
{
}

impl<B> Backend for B where
    B: Attention
        + Combine
        + Conv2d
        + CrossEntropy
        + Draw
        + GroupNorm
        + LayerNorm
        + Linear
        + NearestCode
        + Refine
        + Resize
        + SplitQkv
{
}

/// The further operations of LPIPS and of the discriminator of VQVAE training.
pub trait JudgeBackend: Backend + FeatureDistance + LeakyRelu + MaxPool {}

impl<B> JudgeBackend for B where B: Backend + FeatureDistance + LeakyRelu + MaxPool {}

/// The kernels of all operations.
#[cfg(all(test, feature = "cuda"))]
pub(crate) static TEXTS: [&crate::cuda::text::Text; 17] = [
    &attention::cuda::TEXT,
    &combine::cuda::TEXT,
    &conv2d::cuda::TEXT,
    &cross_entropy::cuda::TEXT,
    &draw::cuda::TEXT,
    &feature_distance::cuda::TEXT,
    &group_norm::cuda::TEXT,
    &layer_norm::cuda::TEXT,
    &leaky_relu::cuda::TEXT,
    &linear::cuda::TEXT,
    &max_pool::cuda::TEXT,
    &nearest_code::cuda::TEXT,
    &pool::cuda::TEXT,
    &rectangular_conv2d::cuda::TEXT,
    &refine::cuda::TEXT,
    &resize::cuda::TEXT,
    &split_qkv::cuda::TEXT,
];

#[cfg(all(test, feature = "cuda"))]
mod cards;
#[cfg(all(test, feature = "cuda"))]
mod compiled;
#[cfg(all(test, feature = "cuda"))]
mod twins;
