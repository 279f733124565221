//! Errors of images and their files.

use std::io;
use std::path::{Path, PathBuf};

use libjpeg_turbo_rs::JpegError;

use crate::atomic_file::AtomicFileError;

/// A fault and the file that has it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct ImageError {
    /// The file read or written.
    pub path: PathBuf,
    /// The fault.
    pub fault: ImageFault,
}

/// A fault of an image, from a file or from memory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageFault {
    /// The system could not read or write.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The target exists and may not be overwritten.
    #[error("exists already and is not overwritten")]
    Exists,
    /// The content begins as none of the known formats does.
    #[error(
        "is not a PNG, JPEG, WebP, BMP, GIF, TIFF or Netpbm image: begins with bytes {start:02x?}"
    )]
    UnknownFormat {
        /// The first bytes, at most 12.
        start: Vec<u8>,
    },
    /// A side is zero.
    #[error("has no pixels: {width} × {height}")]
    Empty {
        /// Pixels per row.
        width: u64,
        /// Rows.
        height: u64,
    },
    /// Too many pixels, in the file or wanted of a resize.
    #[error("{width} × {height} is too large: wants at most {limit} pixels")]
    TooLarge {
        /// Pixels per row.
        width: u64,
        /// Rows.
        height: u64,
        /// The most pixels an image may have.
        limit: u64,
    },
    /// The PNG data are damaged or cut short.
    #[error("damaged PNG: {0}")]
    Png(#[from] png::DecodingError),
    /// The JPEG data are damaged or cut short.
    #[error("damaged JPEG: {0}")]
    Jpeg(#[from] JpegError),
    /// The GIF data are damaged or cut short.
    #[error("damaged GIF: {0}")]
    Gif(#[from] gif::DecodingError),
    /// The WebP data are damaged or cut short.
    #[error("damaged WebP: {0}")]
    WebP(#[from] image_webp::DecodingError),
    /// The data contradict their format, or end before the image does.
    #[error("damaged {format}: {fault}")]
    Damaged {
        /// The format's name.
        format: &'static str,
        /// The fault.
        fault: String,
    },
    /// The format allows it, but it is not read here.
    #[error("{format} with {feature} is not supported")]
    Unsupported {
        /// The format's name.
        format: &'static str,
        /// Name of the layout or coding.
        feature: String,
    },
    /// The texts of a PNG file are longer than any that are written here.
    #[error("has texts of more than {limit} bytes")]
    TextTooLong {
        /// The most bytes.
        limit: usize,
    },
    /// The encoder refused.
    #[error("cannot be written as PNG: {0}")]
    Encode(#[from] png::EncodingError),
    /// A parameter's keyword is not 1 to 79 Latin-1 characters, or it or its text has a NUL.
    #[error("parameter {keyword:?}: wants a keyword of 1 to 79 Latin-1 characters and no NUL")]
    Parameter {
        /// The keyword.
        keyword: String,
    },
}

impl From<AtomicFileError> for ImageFault {
    fn from(error: AtomicFileError) -> Self {
        match error {
            AtomicFileError::Exists { .. } => Self::Exists,
            AtomicFileError::Io { source, .. } => Self::Io(source),
        }
    }
}

impl ImageFault {
    /// Says which file has the fault.
    pub(super) fn of(self, path: &Path) -> ImageError {
        ImageError { path: path.to_path_buf(), fault: self }
    }
}
