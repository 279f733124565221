//! Errors of reading a checkpoint, by the fault of the file.

use core::fmt;
use std::io;
use std::path::PathBuf;

use safetensors::SafeTensorError;
use thiserror::Error;
#[cfg(feature = "torch")]
use zip::result::ZipError;

/// Why [`Checkpoint::open`](crate::checkpoint::Checkpoint::open) failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file could not be opened or mapped.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file was read, and its content is wrong.
    #[error("{}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: FormatError,
    },
}

/// A fault in the bytes of a checkpoint.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The first bytes are those of no known format.
    #[error(
        "not a checkpoint: neither a safetensors file nor a PyTorch file (it begins with {start})"
    )]
    Unrecognised {
        /// The first bytes, at most eight.
        start: FirstBytes,
    },
    /// The file is of another kind that people take for a checkpoint.
    #[error("not a checkpoint but {what}: {advice}")]
    OtherKind {
        /// The kind of file.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// A folder, an index or a shard is not all of one checkpoint.
    #[error("{fault}")]
    Shards {
        /// What is wrong.
        fault: String,
    },
    /// The safetensors header is longer than any model's.
    #[error("safetensors header of {has} bytes, the limit is {limit}")]
    HeaderLimit {
        /// Its length.
        has: u64,
        /// The limit.
        limit: u64,
    },
    /// The safetensors header is damaged, or does not fit the file's length.
    #[error("damaged or truncated safetensors file")]
    Safetensors {
        /// The parser's error.
        source: SafeTensorError,
    },
    /// The safetensors header describes more or fewer bytes than follow it.
    #[error("safetensors file holds {has} bytes of tensors, its header describes {needs}")]
    DataLength {
        /// Bytes that the header describes.
        needs: u64,
        /// Bytes after the header.
        has: u64,
    },
    /// There is no checksum to verify the file by.
    #[error("its metadata has no checksum")]
    NoChecksum,
    /// The file has changed since it was written.
    #[error("damaged: its checksum is {computed}, not {written} as was written")]
    Checksum {
        /// The checksum in the metadata.
        written: String,
        /// That of the bytes there are.
        computed: String,
    },
    /// The zip archive around a PyTorch checkpoint is damaged or cut short.
    #[cfg(feature = "torch")]
    #[error("damaged or truncated PyTorch file (zip archive)")]
    Zip {
        /// The parser's error.
        source: ZipError,
    },
    /// The zip archive lacks an entry that every PyTorch checkpoint has.
    #[error("zip archive without `{entry}`: not a PyTorch checkpoint")]
    MissingEntry {
        /// The end of the entry's name.
        entry: &'static str,
    },
    /// The zip archive has an encrypted entry, or one compressed by another method than deflation.
    #[error("zip entry `{entry}` is neither stored plainly nor deflated ({method})")]
    CompressedEntry {
        /// The entry.
        entry: String,
        /// Its compression method.
        method: String,
    },
    /// The zip archive has an entry that reaches past the end of the file.
    #[error("zip entry `{entry}` ends at byte {needs}, the file at byte {has}")]
    EntryBounds {
        /// The entry.
        entry: String,
        /// Where the entry ends.
        needs: u64,
        /// Length of the file.
        has: u64,
    },
    /// The file was written on a big-endian machine.
    #[error("byte order is `{found}`, only `little` is supported")]
    ByteOrder {
        /// The file's value.
        found: String,
    },
    /// The pickled description of the tensors is refused.
    #[error("pickle refused")]
    Pickle(#[from] PickleError),
    /// A part of a legacy PyTorch file has the wrong kind.
    #[error("legacy PyTorch file: {part} is not {wants}")]
    Legacy {
        /// The part.
        part: &'static str,
        /// The right kind.
        wants: &'static str,
    },
    /// The file holds something else than a dictionary.
    #[error("the PyTorch file holds no dictionary of tensors")]
    NoDictionary,
    /// Two tensors have one name.
    #[error("{tensor}: two tensors of this name")]
    DuplicateName {
        /// The name.
        tensor: String,
    },
    /// Dictionaries are nested deeper or hold more names than a model's ever do.
    #[error("{what} exceeds the limit of {limit}")]
    Limit {
        /// The quantity above its limit.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The storage of a tensor is not in the file.
    #[error("{tensor}: its storage `{storage}` is missing")]
    MissingStorage {
        /// The tensor.
        tensor: String,
        /// Key of the storage.
        storage: String,
    },
    /// The storage of a tensor has fewer bytes than it is said to have.
    #[error("{tensor}: its storage `{storage}` wants {needs} bytes, the file has {has}")]
    ShortStorage {
        /// The tensor.
        tensor: String,
        /// Key of the storage.
        storage: String,
        /// Bytes that the storage should have.
        needs: u64,
        /// Bytes that it has.
        has: u64,
    },
    /// Shape, strides and offset of a tensor reach past the end of its storage.
    #[error("{tensor}: its view reaches element {needs} of a storage of {has}")]
    ViewBounds {
        /// The tensor.
        tensor: String,
        /// One more than the last element reached.
        needs: u64,
        /// Elements in the storage.
        has: u64,
    },
    /// Written out, the views of the file would take far more memory than the file is long.
    #[error("{tensor}: views up to this one expand to {needs} bytes, the limit is {limit}")]
    Expansion {
        /// The tensor at which the limit is passed.
        tensor: String,
        /// Bytes so far.
        needs: u64,
        /// The limit, which grows with the file.
        limit: u64,
    },
}

/// Why a pickle stream is refused. Nothing in a stream is ever run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PickleError {
    /// The stream ends before its last instruction.
    #[error("the stream ends within the instruction at byte {at}")]
    End {
        /// Where the instruction begins.
        at: usize,
    },
    /// An instruction that checkpoints do not use.
    #[error("instruction {opcode:#04x} at byte {at} is not supported")]
    Opcode {
        /// Where the instruction is.
        at: usize,
        /// The instruction.
        opcode: u8,
    },
    /// The stream asks for a class or a function that is not on the list of harmless ones.
    #[error(
        "it refers to `{name}`, which is not on the list of types a checkpoint may hold: \
         torch.save(model.state_dict(), …) makes a file of tensors alone"
    )]
    Forbidden {
        /// Module and name.
        name: String,
    },
    /// An instruction finds something else than it needs.
    #[error("the instruction at byte {at} wants {wants}")]
    Operand {
        /// Where the instruction begins.
        at: usize,
        /// The requirement.
        wants: &'static str,
    },
    /// The stream holds more than any checkpoint does.
    #[error("at byte {at}, {what} exceeds the limit of {limit}")]
    Limit {
        /// Where the instruction begins.
        at: usize,
        /// The quantity above its limit.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// The first bytes of a file, shown in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstBytes(Vec<u8>);

impl FirstBytes {
    pub(super) fn of(file: &[u8]) -> Self {
        Self(file[..file.len().min(8)].to_vec())
    }
}

impl fmt::Display for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing, it is empty");
        }
        for (i, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(feature = "torch")]
impl FormatError {
    /// Bytes of `count` elements, for messages: saturates.
    pub(super) fn bytes(count: usize, size: usize) -> u64 {
        (count as u64).saturating_mul(size as u64)
    }
}
