//! Errors of archives of arrays.

use std::io;
use std::path::{Path, PathBuf};

use zip::result::ZipError;

use crate::atomic_file::AtomicFileError;

/// A fault and the file that has it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct NpzError {
    /// The file read or written.
    pub path: PathBuf,
    /// The fault.
    pub fault: NpzFault,
}

/// A fault of an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpzFault {
    /// The system could not read or write.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The target exists and may not be overwritten.
    #[error("exists already and was not to be overwritten")]
    Exists,
    /// No zip file, or a damaged one.
    #[error("is no .npz archive, or a damaged one: {0}")]
    Zip(ZipError),
    /// An array without an archive around it.
    #[error("is a single array (.npy), wants an archive of named arrays, as numpy.savez makes it")]
    SingleArray,
    /// An array is not there.
    #[error("has no array {array}; it has {}", if has.is_empty() { "none" } else { has })]
    Missing {
        /// The array.
        array: String,
        /// The arrays there are, separated by commas.
        has: String,
    },
    /// A member does not begin as an array does.
    #[error("{array}: its header is none of NumPy's: {why}")]
    NpyHeader {
        /// The array.
        array: String,
        /// The reason.
        why: &'static str,
    },
    /// An element type that is not read here.
    #[error("{array}: its elements are {has:?}, wants {wants}")]
    NpyDtype {
        /// The array.
        array: String,
        /// NumPy's name of the type.
        has: String,
        /// The expected type.
        wants: &'static str,
    },
    /// Columns first.
    #[error("{array}: is stored columns first (Fortran order), wants rows first")]
    FortranOrder {
        /// The array.
        array: String,
    },
    /// The header has another shape.
    #[error("{array}: has shape {has:?}, wants {wants}")]
    Shape {
        /// The array.
        array: String,
        /// The shape.
        has: Vec<usize>,
        /// The expected shape.
        wants: String,
    },
    /// The header promises more or fewer elements than follow.
    #[error("{array}: its shape {shape:?} wants {wants} bytes, the file has {has}")]
    Length {
        /// The array.
        array: String,
        /// The shape.
        shape: Vec<usize>,
        /// Bytes by the shape.
        wants: u64,
        /// Bytes there are.
        has: u64,
    },
}

impl NpzFault {
    /// Says which file has the fault.
    pub(crate) fn of(self, path: &Path) -> NpzError {
        NpzError { path: path.to_path_buf(), fault: self }
    }
}

impl From<ZipError> for NpzFault {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::Io(error) => Self::Io(error),
            error => Self::Zip(error),
        }
    }
}

impl From<AtomicFileError> for NpzFault {
    fn from(error: AtomicFileError) -> Self {
        match error {
            AtomicFileError::Exists { .. } => Self::Exists,
            AtomicFileError::Io { source, .. } => Self::Io(source),
        }
    }
}
