//! NumPy's `.npz` archives: arrays read and written as streams, so that none need fit into memory.
//!
//! An archive is a zip file with a member `NAME.npy` for each array; a member is a header, one line of
//! Python, and the elements (NumPy's format specification, versions 1 to 3).

mod error;
mod header;
mod read;
mod write;

pub use error::{NpzError, NpzFault};
pub use header::{NpyDtype, NpyHeader};
pub use read::{NpyValues, Npz};
pub use write::NpzWriter;

#[cfg(test)]
mod tests;
