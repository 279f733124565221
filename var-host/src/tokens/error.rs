//! Errors of tokens files.

use core::ops::Range;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::SafeTensorError;

use crate::atomic_file::AtomicFileError;
use crate::checkpoint::FormatError;
use crate::checkpoint::digest::NoDigest;
use crate::plural::count;

/// A fault and the file that has it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct TokenFileError {
    /// The file read or written.
    pub path: PathBuf,
    /// The fault.
    pub fault: TokenFault,
}

/// A fault of a tokens file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    /// The system could not read or write.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The target exists and may not be overwritten.
    #[error("exists already and is not overwritten")]
    Exists,
    /// Not a safetensors file, a damaged one, or one without `tokens`.
    #[error("{0}")]
    Safetensors(#[from] SafeTensorError),
    /// Likewise, of a file that is mapped into memory.
    #[error("{0}")]
    Format(#[from] FormatError),
    /// The metadata's `vae_digest` or `vae_source` is no digest.
    #[error("metadata: {0}")]
    Digest(#[from] NoDigest),
    /// A tensor is not in the file.
    #[error("no tensor is called `{tensor}`")]
    Missing {
        /// The tensor.
        tensor: &'static str,
    },
    /// How images were cut is told otherwise than by this program.
    #[error("cut: wants mid_reso and crop as a JSON object, file has {has:?}")]
    CropSettings {
        /// The file's.
        has: String,
    },
    /// The metadata have no `ladder`.
    #[error("metadata: no `ladder`")]
    NoLadder,
    /// The ladder is not sides from 1 joined by `_`, or its tokens are too many to count.
    #[error("ladder: wants sides from 1 joined by `_`, file has {has:?}")]
    Ladder {
        /// The file's.
        has: String,
    },
    /// A tensor is neither i32 nor i64.
    #[error("{tensor}: wants I32 or I64, file has {has}")]
    Type {
        /// The tensor.
        tensor: &'static str,
        /// The file's.
        has: String,
    },
    /// A tensor's rank is not the right one.
    #[error("{tensor}: wants {wants} dimensions, file has {has:?}")]
    Rank {
        /// The tensor.
        tensor: &'static str,
        /// How many dimensions it should have.
        wants: usize,
        /// The file's shape.
        has: Vec<usize>,
    },
    /// The rows of `tokens` are not as long as the ladder says.
    #[error("tokens: wants {wants} a row for the ladder {ladder}, file has {has}")]
    Length {
        /// The file's ladder.
        ladder: String,
        /// The sum of its squares.
        wants: usize,
        /// The file's.
        has: usize,
    },
    /// There are not as many labels as images.
    #[error("labels: wants {wants}, one for each image, file has {has}")]
    Labels {
        /// The images.
        wants: usize,
        /// The labels.
        has: usize,
    },
    /// The metadata's `variants` is not a number from 1, or the images are not whole images of
    /// so many variants.
    #[error("variants: wants a number from 1 that divides the {}, file has {has:?}", count(*images, "image"))]
    Variants {
        /// The images.
        images: usize,
        /// The file's.
        has: String,
    },
    /// The metadata's `classes` is not a JSON list of names.
    #[error("classes: wants a JSON list of names, file has {has:?}")]
    Classes {
        /// The file's.
        has: String,
    },
    /// The variants of an image have not one label.
    #[error("labels[{index}]: wants {wants} as the image's first variant has, file has {has}")]
    LabelOfVariant {
        /// The variant's image.
        index: usize,
        /// The first variant's label.
        wants: i32,
        /// The file's.
        has: i32,
    },
    /// There are no images.
    #[error("holds no images")]
    Empty,
    /// A value is out of range.
    #[error("{tensor}[{index}]: wants {from}..{to}, file has {has}", from = wants.start, to = wants.end)]
    Value {
        /// The tensor.
        tensor: &'static str,
        /// The value's place, row-major.
        index: usize,
        /// The values allowed.
        wants: Range<i64>,
        /// The file's.
        has: i64,
    },
}

impl TokenFault {
    pub(super) fn of(self, path: &Path) -> TokenFileError {
        TokenFileError { path: path.to_path_buf(), fault: self }
    }
}

impl From<AtomicFileError> for TokenFault {
    fn from(error: AtomicFileError) -> Self {
        match error {
            AtomicFileError::Exists { .. } => Self::Exists,
            AtomicFileError::Io { source, .. } => Self::Io(source),
        }
    }
}
