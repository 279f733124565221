//! Errors of the pipeline.

use core::fmt;

use crate::engine::EngineError;
use crate::images::ImageError;
use crate::model::ModelError;

/// A model that cannot be opened, an image that cannot be read or written, or a request that cannot be
/// served.
///
/// Its `Debug` is its text with those of its causes: a `main` that returns it prints a sentence.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A request to the model.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An image's file.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An image that cannot be resized to the model's side.
    #[error("an image of {width} × {height} cannot be cut to {side} × {side}")]
    Shape {
        /// The image's width.
        width: usize,
        /// The image's height.
        height: usize,
        /// The model's side.
        side: usize,
    },
    /// A part without a cell, or all of them.
    #[error("no cell of the {side} × {side} finest map is drawn anew: the part is too small")]
    EmptyRegion {
        /// Side of the finest map.
        side: usize,
    },
    /// The GPU.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Gpu(#[from] crate::gpu::GpuError),
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self))
    }
}

/// The text of an error with those of its causes.
pub fn with_causes(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let own = error.to_string();
        // Some errors repeat the text of their cause.
        if !text.ends_with(&own) {
            text = format!("{text}: {own}");
        }
        cause = error.source();
    }
    text
}
