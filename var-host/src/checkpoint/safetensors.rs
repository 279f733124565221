//! Reading safetensors files: the published crate's header types over a borrowed file.

use std::collections::BTreeMap;

use safetensors::SafeTensorError;
use safetensors::tensor::Metadata;

use crate::checkpoint::contents::Contents;
use crate::checkpoint::entry::TensorEntry;
use crate::checkpoint::float8::Float8;
use crate::checkpoint::{Dtype, FormatError};

/// Bytes before the header: its length as a little-endian integer.
const LENGTH: usize = 8;

/// Longest header read: some 80 000 tensors. The largest VAR has 700, about 100 kB; 10 MB of a hostile
/// header would take a second and 150 MB of memory.
const HEADER_LIMIT: usize = 8 << 20;

/// Whether `file` begins like a safetensors file: eight bytes of length, then a JSON object.
pub(super) fn detect(file: &[u8]) -> bool {
    file.get(LENGTH) == Some(&b'{')
}

/// Whether `file` also has the header whose length it begins with.
pub(super) fn has_header(file: &[u8]) -> bool {
    let length = file.first_chunk().map_or(u64::MAX, |length| u64::from_le_bytes(*length));
    detect(file) && length <= (file.len() - LENGTH) as u64
}

/// Names, shapes and places of all tensors, checked against the file's length.
pub(super) fn read(file: &[u8]) -> Result<Contents, FormatError> {
    let length = file.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if length > HEADER_LIMIT as u64 {
        return Err(FormatError::HeaderLimit { has: length, limit: HEADER_LIMIT as u64 });
    }
    let (header, data) = header(file).map_err(|source| FormatError::Safetensors { source })?;
    // The crate's own `read_metadata` adds lengths without a check for overflow.
    let tensors = header.tensors();
    let needs = tensors.values().map(|info| info.data_offsets.1).max().unwrap_or(0);
    let has = file.len() - data;
    if needs != has {
        return Err(FormatError::DataLength { needs: needs as u64, has: has as u64 });
    }
    let (mut entries, mut unreadable) = (BTreeMap::new(), BTreeMap::new());
    for (name, info) in tensors {
        let (start, end) = info.data_offsets;
        let (shape, bytes) = (info.shape.clone(), data + start..data + end);
        let float8 = Float8::named(&info.dtype.to_string());
        let entry = match (dtype(info.dtype), float8) {
            (Some(dtype), _) => TensorEntry::contiguous(dtype, shape, bytes),
            (None, Some(float8)) => {
                TensorEntry::contiguous(Dtype::U8, shape, bytes).of_float8(float8)
            }
            (None, None) => {
                unreadable.insert(name, format!("element type {}", info.dtype));
                continue;
            }
        };
        entries.insert(name, entry);
    }
    let metadata = header.metadata().clone().map(BTreeMap::from_iter).unwrap_or_default();
    Ok(Contents { tensors: entries, unreadable, metadata, inflated: None })
}

/// The parsed header, in which offsets and sizes agree, and where the data begins.
fn header(file: &[u8]) -> Result<(Metadata, usize), SafeTensorError> {
    let length = file.first_chunk::<LENGTH>().ok_or(SafeTensorError::HeaderTooSmall)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let end = LENGTH.saturating_add(length);
    let bytes = file.get(LENGTH..end).ok_or(SafeTensorError::InvalidHeaderLength)?;
    let header =
        serde_json::from_slice(bytes).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
    Ok((header, end))
}

fn dtype(dtype: safetensors::Dtype) -> Option<Dtype> {
    Some(match dtype {
        safetensors::Dtype::F64 => Dtype::F64,
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::BF16 => Dtype::Bf16,
        safetensors::Dtype::I64 => Dtype::I64,
        safetensors::Dtype::I32 => Dtype::I32,
        safetensors::Dtype::I16 => Dtype::I16,
        safetensors::Dtype::I8 => Dtype::I8,
        safetensors::Dtype::U8 => Dtype::U8,
        safetensors::Dtype::BOOL => Dtype::Bool,
        _ => return None,
    })
}
