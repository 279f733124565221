//! Contents of a checkpoint file.

use std::collections::BTreeMap;

use crate::checkpoint::aligned::AlignedBytes;
use crate::checkpoint::entry::TensorEntry;

/// Contents of a file.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) tensors: BTreeMap<String, TensorEntry>,
    /// Tensors that are there and cannot be read, and what they are.
    pub(super) unreadable: BTreeMap<String, String>,
    pub(super) metadata: BTreeMap<String, String>,
    /// The compressed entries of the file, written out; the second source.
    pub(super) inflated: Option<AlignedBytes>,
}
