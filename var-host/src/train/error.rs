//! Errors of a training run.

use core::convert::Infallible;
use std::path::PathBuf;

use var_kernel::memory::Device;

use super::TrainConfigError;
use crate::data::DataError;
use crate::engine::EngineError;
use crate::images::ImageError;
use crate::model::ModelError;
use crate::parallel::ProcessGroupError;
use crate::run::{Checkpoints, RunError};

/// Why a run cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The VQVAE cannot make tokens, or there is too little memory.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The GPU cannot be used, or failed.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Cuda(#[from] var_kernel::cuda::CudaError),
    /// A device cannot be used.
    #[error(transparent)]
    Device(#[from] crate::pipeline::Error),
    /// A model to begin with cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Fields of a configuration do not go together.
    #[error(transparent)]
    Config(#[from] TrainConfigError),
    /// Another rank cannot be reached.
    #[error(transparent)]
    ProcessGroup(#[from] ProcessGroupError),
    /// The run's folder cannot be used.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Sampled images cannot be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The tokens of images to validate on cannot be kept in a temporary file.
    #[error("cannot keep the tokens of images to validate on in a temporary file, after {images}")]
    Kept {
        /// Images that are kept.
        images: usize,
        /// The system's error.
        source: std::io::Error,
    },
    /// Gradients have not been finite for many iterations in a row.
    #[error(
        "iteration {iteration}: gradients have not been finite for {count} iterations in a row: {}",
        way_back(back)
    )]
    NotFinite {
        /// The last iteration tried.
        iteration: u64,
        /// How many in a row.
        count: u32,
        /// The newest checkpoint with finite gradients after it; none on other ranks than the
        /// first.
        back: Option<PathBuf>,
    },
    /// A checkpoint's state does not belong to this run.
    #[error("{}: {what}: wants {wants}, file has {has}", path.display())]
    TrainState {
        /// The checkpoint.
        path: PathBuf,
        /// Which part of it.
        what: String,
        /// The run's value.
        wants: String,
        /// The value found.
        has: String,
    },
    /// The tokens were made on another ladder, or with another codebook, than is to be trained.
    #[error("{what}: the tokens have {tokens}, the model is to have {model}")]
    Tokens {
        /// The property that differs.
        what: &'static str,
        /// Of the tokens.
        tokens: String,
        /// Of the model.
        model: String,
    },
}

/// How to go on after gradients were not finite.
fn way_back(back: &Option<PathBuf>) -> String {
    match back {
        Some(path) => format!(
            "go back to {path}, the newest checkpoint from which they were: --init-from {path} with \
             another --out and a lower learning rate",
            path = path.display()
        ),
        None => "no checkpoint is from before: begin anew with a lower learning rate".to_owned(),
    }
}

impl TrainError {
    /// The error of a run that has done `iterations`, the last `count` of which moved nothing.
    pub(super) fn not_finite(iterations: u64, count: u32, kept: Option<&Checkpoints>) -> Self {
        let first = iterations - u64::from(count);
        // A folder that cannot be read has no checkpoint to name; the gradients are the news.
        let back = kept.and_then(|kept| kept.newest_before(first).ok().flatten());
        Self::NotFinite { iteration: iterations - 1, count, back }
    }
}

impl From<Infallible> for TrainError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Runs `work` on the device `d`: the one place where a device's error becomes one of training.
pub(crate) fn on<D: Device, T>(
    _: &D,
    work: impl FnOnce() -> Result<T, D::Error>,
) -> Result<T, TrainError>
where
    D::Error: Into<TrainError>,
{
    work().map_err(Into::into)
}
