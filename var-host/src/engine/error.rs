//! Errors of the engine.

use super::interrupt::Interrupted;
use crate::plural::count;
use crate::pool::ThreadsError;

/// Names of results in [`EngineError::NotFinite`].
pub(super) const A_LOGIT: &str = "a logit";
pub(super) const AN_IMAGE: &str = "an image";

/// A request that the engine cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The threads cannot be started.
    #[error(transparent)]
    Threads(#[from] ThreadsError),
    /// The model file holds only a VQVAE.
    #[error("the model has no transformer")]
    NoTransformer,
    /// The model file holds only a transformer.
    #[error("the model has no VQVAE")]
    NoVqvae,
    /// A label above the null class.
    #[error("class {has}: the model has classes 0 to {}, and {classes} for none", classes.saturating_sub(1))]
    Label {
        /// The label.
        has: u32,
        /// How many classes there are.
        classes: u32,
    },
    /// An image of another size.
    #[error("the image is {width} × {height}, the model wants {wants} × {wants}")]
    ImageSize {
        /// The model's side.
        wants: usize,
        /// The image's width.
        width: usize,
        /// The image's height.
        height: usize,
    },
    /// Another number of tokens than the model's ladder has cells.
    #[error("{}, the model's ladder has {}", count(*has, "token"), count(*wants, "cell"))]
    TokenCount {
        /// Cells of the ladder.
        wants: usize,
        /// Tokens given.
        has: usize,
    },
    /// A token past the end of the codebook.
    #[error("token {has} is not below the model's {}", count(*codes, "code"))]
    Token {
        /// The token.
        has: u32,
        /// Rows of the codebook.
        codes: usize,
    },
    /// A result is infinite or not a number, though the weights are finite.
    #[error(
        "{what} is not finite: {file}: the weights overflow, the greatest is {value:e} in {tensor}"
    )]
    NotFinite {
        /// The result.
        what: &'static str,
        /// The file.
        file: String,
        /// The tensor with the greatest weight.
        tensor: String,
        /// That weight.
        value: f32,
    },
    /// The GPU cannot be used, or failed.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Cuda(#[from] var_kernel::cuda::CudaError),
    /// The weights are not on the GPU.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Gpu(#[from] crate::gpu::GpuError),
    /// The work was ended from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The memory lent by the caller is too small.
    #[error("{wanted} bytes of working memory wanted, {lent} lent")]
    LentMemory {
        /// Bytes wanted, wherever they begin.
        wanted: u128,
        /// Bytes lent.
        lent: u128,
    },
    /// The system has not as much memory.
    #[error("{bytes} bytes of working memory cannot be had: try a smaller batch")]
    Memory {
        /// Bytes asked for.
        bytes: u128,
    },
}
