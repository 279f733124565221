//! Errors of a folder of images.

use std::io;
use std::path::PathBuf;

use crate::atomic_file::AtomicFileError;
use crate::data::DataError;

/// Why a folder of images cannot be taken as one run's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageFolderError {
    /// The folder cannot be listed.
    #[error(transparent)]
    Folder(#[from] DataError),
    /// The manifest cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The manifest.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The manifest cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The manifest.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The manifest cannot be written; it is as it was.
    #[error(transparent)]
    File(#[from] AtomicFileError),
    /// The manifest is longer than that of a million images.
    #[error("{}: has more than {limit} bytes", path.display())]
    ManifestLimit {
        /// The manifest.
        path: PathBuf,
        /// The most bytes.
        limit: u64,
    },
    /// The manifest is damaged, or another program's.
    #[error("{}: is no manifest of images of var", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The manifest lists a file outside of its folder.
    #[error("{}: {file:?} is no name of an image", path.display())]
    Name {
        /// The manifest.
        path: PathBuf,
        /// The file.
        file: String,
    },
    /// A process writes into the folder now.
    #[error("{}: a process is still writing images into this folder", folder.display())]
    Unfinished {
        /// The folder.
        folder: PathBuf,
    },
    /// The manifest does not list an image.
    #[error("{}: is not of the run that the folder's manifest.json tells of", image.display())]
    NotListed {
        /// The image.
        image: PathBuf,
    },
    /// Several runs made the images.
    #[error("{}: {difference} as {} is", image.display(), other.display())]
    SeveralRuns {
        /// The image.
        image: PathBuf,
        /// The first parameter that is another, in words.
        difference: String,
        /// The image it is compared with.
        other: PathBuf,
    },
}

impl ImageFolderError {
    /// Whether the images are of several runs.
    pub fn is_of_several_runs(&self) -> bool {
        matches!(self, Self::NotListed { .. } | Self::SeveralRuns { .. })
    }
}
