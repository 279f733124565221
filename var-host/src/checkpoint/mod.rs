//! Checkpoints: named tensors and their metadata, from any of the formats they are published in.
//!
//! [`Checkpoint::open`] tells safetensors files, PyTorch zip files and legacy PyTorch files apart
//! by their content, maps them into memory and borrows the tensors from the map.
//! [`save()`] writes safetensors files; [`quantize`] narrows weights on the way. They carry a
//! checksum, which [`Checkpoint::verify`] compares with the bytes there are, and a [`Digest`] of each
//! half of a model.

mod aligned;
pub(crate) mod checksum;
mod contents;
pub(crate) mod crc;
pub mod digest;
#[cfg_attr(
    not(feature = "torch"),
    allow(dead_code, reason = "only files of torch.save have strided tensors")
)]
mod entry;
mod error;
mod float8;
mod kinds;
mod mmap;
pub mod quantize;
mod record;
mod safetensors;
mod save;
mod shards;
mod tensor;
#[cfg(feature = "torch")]
mod torch;

use core::fmt;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

use crate::checkpoint::aligned::AlignedBytes;
use crate::checkpoint::contents::Contents;

pub use crate::checkpoint::digest::Digest;
pub use crate::checkpoint::error::{CheckpointError, FirstBytes, FormatError, PickleError};
pub use crate::checkpoint::record::Record;
pub use crate::checkpoint::save::{SaveError, save, to_bytes, write_uncommitted};
pub use crate::checkpoint::tensor::{Dtype, Tensor};

#[cfg(target_endian = "big")]
compile_error!("tensors are borrowed from little-endian files as they are");

/// The tensors of one file.
///
/// Names of nested dictionaries are joined by dots, so that a trainer's checkpoint has names like
/// `trainer.var_wo_ddp.head.weight`. Elements are borrowed from the file where they lie in order
/// and aligned, and copied into order on first use elsewhere.
pub struct Checkpoint {
    /// The file; what was inflated of it; the files of other shards.
    sources: Vec<Backing>,
    format: Format,
    contents: Contents,
}

/// The format of a checkpoint file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A length, a JSON header, the elements.
    Safetensors,
    /// `torch.save` since 1.6: a zip archive of a pickle and one entry per storage.
    TorchZip,
    /// `torch.save` before 1.6: pickles, then the storages.
    TorchLegacy,
}

/// A tensor's dtype and shape, known without touching its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorInfo<'a> {
    /// Full name.
    pub name: &'a str,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first.
    pub shape: &'a [usize],
}

enum Backing {
    Mapped(Mmap),
    Static(&'static [u8]),
    Owned(AlignedBytes),
}

impl Checkpoint {
    /// Maps the file at `path` and reads its header.
    ///
    /// The elements are not read, and the checksums of zip entries are not verified: opening a
    /// file of 8 GB takes milliseconds. The file must not be changed in place while it is open.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] if the file cannot be mapped, [`CheckpointError::Format`] if it is
    /// no checkpoint, is damaged, or asks for anything but tensors and plain values.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let map = map_regular_file(path)
            .map_err(|source| CheckpointError::Io { path: path.to_path_buf(), source })?;
        Self::read(Backing::Mapped(map))
            .map_err(|source| CheckpointError::Format { path: path.to_path_buf(), source })
    }

    /// Reads a checkpoint embedded in the program.
    ///
    /// # Errors
    ///
    /// [`FormatError`] as for a file.
    pub fn from_static(bytes: &'static [u8]) -> Result<Self, FormatError> {
        Self::read(Backing::Static(bytes))
    }

    /// Reads a checkpoint from a copy of `bytes`.
    ///
    /// # Errors
    ///
    /// [`FormatError`] as for a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::read(Backing::Owned(AlignedBytes::copy_of(bytes)))
    }

    /// The format that was found.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Bytes of the file.
    pub fn file_size(&self) -> usize {
        self.sources.iter().map(|source| source.bytes().len()).sum()
    }

    /// The tensors in order of their names.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorInfo<'_>> {
        self.contents.tensors.iter().map(|(name, entry)| TensorInfo {
            name,
            dtype: entry.dtype(),
            shape: entry.shape(),
        })
    }

    /// Dtype and shape of the tensor called `name`.
    pub fn info(&self, name: &str) -> Option<TensorInfo<'_>> {
        let (name, entry) = self.contents.tensors.get_key_value(name)?;
        Some(TensorInfo { name, dtype: entry.dtype(), shape: entry.shape() })
    }

    /// Whether there is a tensor called `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.contents.tensors.contains_key(name)
    }

    /// The tensor called `name`.
    ///
    /// Elements that are strided or misaligned in the file are copied once, on the first call,
    /// and kept; the limit on their total size was checked when the file was opened.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let entry = self.contents.tensors.get(name)?;
        Some(entry.tensor(self.sources[entry.source()].bytes()))
    }

    /// Tensors that are there and cannot be read, such as sparse ones, and what they are.
    pub fn unreadable(&self) -> &BTreeMap<String, String> {
        &self.contents.unreadable
    }

    /// The `__metadata__` of a safetensors file; the plain values (text, numbers, truth values)
    /// of a PyTorch file under their full names, such as `args.depth` or `epoch`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.contents.metadata
    }

    /// The file, if it is only one and nothing in it is compressed.
    fn only_source(&self) -> Option<&[u8]> {
        match &self.sources[..] {
            [file] => Some(file.bytes()),
            _ => None,
        }
    }

    fn read(backing: Backing) -> Result<Self, FormatError> {
        let file = backing.bytes();
        let (format, mut contents) = if let Some(read) = read_torch(file) {
            read?
        } else if safetensors::has_header(file) {
            (Format::Safetensors, safetensors::read(file)?)
        } else if let Some(other) = kinds::named(file) {
            return Err(other);
        } else if safetensors::detect(file) {
            (Format::Safetensors, safetensors::read(file)?)
        } else {
            return Err(FormatError::Unrecognised { start: FirstBytes::of(file) });
        };
        let mut sources = vec![backing];
        sources.extend(contents.inflated.take().map(Backing::Owned));
        contents.check_expansion(&sources)?;
        Ok(Self { sources, format, contents })
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("format", &self.format)
            .field("tensors", &self.contents.tensors.len())
            .finish_non_exhaustive()
    }
}

/// The contents of a file of `torch.save`; none of another, or where such files are not read: [`kinds`]
/// names them there.
fn read_torch(file: &[u8]) -> Option<Result<(Format, Contents), FormatError>> {
    #[cfg(feature = "torch")]
    if torch::zip::detect(file) {
        return Some(torch::zip::read(file).map(|contents| (Format::TorchZip, contents)));
    } else if torch::legacy::detect(file) {
        return Some(torch::legacy::read(file).map(|contents| (Format::TorchLegacy, contents)));
    }
    let _ = file;
    None
}

fn map_regular_file(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    mmap::map(&file)
}

impl Backing {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Static(bytes) => bytes,
            Self::Owned(bytes) => bytes.as_slice(),
        }
    }
}

impl Contents {
    /// Refuses files with copied tensors that would take far more memory than the file is long.
    ///
    /// An honest file may need a copy of every tensor (misaligned legacy storages), some of them
    /// twice (tied weights), and small broadcast buffers.
    fn check_expansion(&self, sources: &[Backing]) -> Result<(), FormatError> {
        const FREE: u64 = 16 << 20;
        let length: usize = sources.iter().map(|source| source.bytes().len()).sum();
        let limit = 2 * length as u64 + FREE;
        let mut needs = 0_u64;
        for (name, entry) in &self.tensors {
            if entry.needs_gathering(sources[entry.source()].bytes()) {
                needs = needs.saturating_add(entry.size() as u64);
            }
            if needs > limit {
                return Err(FormatError::Expansion { tensor: name.clone(), needs, limit });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
