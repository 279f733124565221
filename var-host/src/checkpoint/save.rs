//! Writing safetensors files, one tensor in memory at a time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use thiserror::Error;

use crate::atomic_file::{AtomicFile, AtomicFileError};
use crate::checkpoint::Dtype;
use crate::checkpoint::checksum;
use crate::checkpoint::crc::Crc;
use crate::checkpoint::digest::{self, TensorDigests};
use crate::checkpoint::record::{QuantizeError, Record};

/// Why a checkpoint could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The target exists, or the system refused to write.
    #[error(transparent)]
    File(#[from] AtomicFileError),
    /// The values of a tensor do not fit its element type.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// Two tensors have one name, or a tensor has the name that the format keeps for itself.
    #[error("{tensor}: two tensors of this name, or a reserved name")]
    DuplicateName {
        /// The name.
        tensor: String,
    },
}

impl<'a> Record<'a> {
    /// A tensor with its bytes at hand.
    pub fn borrowed(
        name: impl Into<String>,
        dtype: Dtype,
        shape: impl Into<Vec<usize>>,
        bytes: &'a [u8],
    ) -> Self {
        Self {
            name: name.into(),
            dtype,
            shape: shape.into(),
            bytes: Box::new(move || Ok(Cow::Borrowed(bytes))),
        }
    }

    /// Bytes of the elements.
    pub fn size(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

/// Writes `records` and `metadata` to a safetensors file at `path`.
///
/// Tensors are laid out by falling size of their elements, then by name, so that every one is
/// aligned, and equal contents give equal files. The metadata are joined by a checksum of the file,
/// for [`Checkpoint::verify`](crate::checkpoint::Checkpoint::verify), and by a [digest](digest::PARTS)
/// of each part of a model. The file appears under its name when it is complete and on the disk
/// ([`AtomicFile`]); `path` may be a file that is open as a
/// [`Checkpoint`](crate::checkpoint::Checkpoint).
///
/// # Errors
///
/// [`AtomicFileError::Exists`] if there is a file at `path` and `overwrite` is false, and the
/// other cases of [`SaveError`]. Nothing is left behind then.
///
/// # Panics
///
/// If a record gives more or fewer bytes than its shape and type ask for.
pub fn save<'a>(
    path: impl AsRef<Path>,
    records: impl IntoIterator<Item = Record<'a>>,
    metadata: &BTreeMap<String, String>,
    overwrite: bool,
) -> Result<(), SaveError> {
    Ok(write(path.as_ref(), records, metadata.clone(), overwrite)?.commit()?)
}

/// Writes a file as [`save()`] does and leaves it to the caller to give it its name by
/// [`AtomicFile::commit`], over whatever has that name then.
///
/// # Errors
///
/// The cases of [`SaveError`]. Nothing is left behind then.
///
/// # Panics
///
/// If a record gives more or fewer bytes than its shape and type ask for.
pub fn write_uncommitted<'a>(
    path: impl AsRef<Path>,
    records: impl IntoIterator<Item = Record<'a>>,
    metadata: BTreeMap<String, String>,
) -> Result<AtomicFile, SaveError> {
    write(path.as_ref(), records, metadata, true)
}

/// The bytes of a file as [`save()`] writes it.
///
/// # Errors
///
/// The cases of [`SaveError`] that have nothing to do with the system.
///
/// # Panics
///
/// If a record gives more or fewer bytes than its shape and type ask for.
pub fn to_bytes<'a>(
    records: impl IntoIterator<Item = Record<'a>>,
    metadata: BTreeMap<String, String>,
) -> Result<Vec<u8>, SaveError> {
    let mut bytes = Cursor::new(Vec::new());
    match write_into(&mut bytes, in_order(records)?, metadata) {
        Ok(()) => Ok(bytes.into_inner()),
        Err(Fault::Quantize(fault)) => Err(fault.into()),
        Err(Fault::Io(fault)) => unreachable!("memory is written to: {fault}"),
    }
}

fn write<'a>(
    path: &Path,
    records: impl IntoIterator<Item = Record<'a>>,
    metadata: BTreeMap<String, String>,
    overwrite: bool,
) -> Result<AtomicFile, SaveError> {
    let records = in_order(records)?;
    let mut file = AtomicFile::create(path, overwrite)?;
    match write_into(&mut file, records, metadata) {
        Ok(()) => Ok(file),
        Err(Fault::Quantize(fault)) => Err(fault.into()),
        Err(Fault::Io(source)) => {
            Err(AtomicFileError::Io { path: file.path().to_path_buf(), source }.into())
        }
    }
}

/// Why tensors could not be written.
#[derive(Debug, Error)]
enum Fault {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
}

/// Writes the header with zeros for digests and checksum, the tensors, then the whole header again.
fn write_into(
    file: &mut (impl Write + Seek),
    records: Vec<Record<'_>>,
    mut metadata: BTreeMap<String, String>,
) -> Result<(), Fault> {
    metadata.insert(checksum::KEY.to_owned(), checksum::OPEN.to_owned());
    for (key, prefix) in digest::PARTS {
        if records.iter().any(|record| record.name.starts_with(prefix)) {
            metadata.insert(key.to_owned(), digest::OPEN.to_owned());
        }
    }
    let mut header = header(&records, &metadata);
    file.write_all(&header)?;
    let (mut crc, mut parts) = (Crc::default(), digest::PARTS.map(|_| TensorDigests::default()));
    for record in records {
        let size = record.size();
        let Record { name, dtype, shape, bytes } = record;
        let bytes = bytes()?;
        assert_eq!(bytes.len(), size, "{name}: bytes do not fit shape and type");
        crc.update(&bytes);
        for ((_, prefix), part) in digest::PARTS.iter().zip(&mut parts) {
            if let Some(name) = name.strip_prefix(prefix).filter(|name| !digest::is_buffer(name)) {
                part.add(name, dtype, &shape, &bytes);
            }
        }
        file.write_all(&bytes)?;
    }
    for ((key, prefix), part) in digest::PARTS.iter().zip(parts) {
        if metadata.get(*key).is_some_and(|digits| digits == digest::OPEN) {
            let place = checksum::place(&header, key, digest::OPEN.len());
            let place = place.unwrap_or_else(|| panic!("the header has a place for {prefix}"));
            header[place].copy_from_slice(part.digest().to_string().as_bytes());
        }
    }
    checksum::close(&mut header, &crc);
    file.seek(SeekFrom::Start(0))?;
    Ok(file.write_all(&header)?)
}

/// The records in their order in the file.
fn in_order<'a>(
    records: impl IntoIterator<Item = Record<'a>>,
) -> Result<Vec<Record<'a>>, SaveError> {
    let mut records: Vec<_> = records.into_iter().collect();
    records.sort_by(|a, b| b.dtype.size().cmp(&a.dtype.size()).then_with(|| a.name.cmp(&b.name)));
    check_names(&records)?;
    Ok(records)
}

fn check_names(records: &[Record<'_>]) -> Result<(), SaveError> {
    let mut names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
    names.push(METADATA);
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(SaveError::DuplicateName { tensor: pair[0].to_owned() }),
        None => Ok(()),
    }
}

/// Length and JSON, padded with spaces to a multiple of eight bytes.
fn header(records: &[Record<'_>], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut json = serde_json::to_vec(&SafetensorsHeader { records, metadata })
        .expect("names and numbers are always valid JSON");
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut json);
    bytes
}

/// The key under which the format keeps the metadata among the tensors.
const METADATA: &str = "__metadata__";

struct SafetensorsHeader<'h, 'a> {
    records: &'h [Record<'a>],
    metadata: &'h BTreeMap<String, String>,
}

#[derive(Serialize)]
struct SafetensorsEntry<'h> {
    dtype: &'static str,
    shape: &'h [usize],
    data_offsets: [usize; 2],
}

impl Serialize for SafetensorsHeader<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.metadata.is_empty() {
            map.serialize_entry(METADATA, self.metadata)?;
        }
        let mut start = 0;
        for record in self.records {
            let end = start + record.size();
            let dtype = record.dtype.name();
            let entry =
                SafetensorsEntry { dtype, shape: &record.shape, data_offsets: [start, end] };
            map.serialize_entry(&record.name, &entry)?;
            start = end;
        }
        map.end()
    }
}
