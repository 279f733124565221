//! PyTorch's files from before version 1.6: pickles of a magic number, the protocol version, the
//! writer's system, the object and the keys of its storages; then the storages, each after its
//! length in elements.

use std::collections::HashMap;

use crate::checkpoint::contents::Contents;
use crate::checkpoint::torch::flatten::flatten;
use crate::checkpoint::torch::pickle;
use crate::checkpoint::torch::value::{Heap, Value};
use crate::checkpoint::torch::view::{StoragePlaces, place_all};
use crate::checkpoint::{FormatError, PickleError};

/// 0x1950a86a20f9469cfc6c as a pickled integer.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

const PROTOCOL_VERSION: i64 = 1001;

/// Whether `file` begins with the pickled magic number, after PROTO and, from protocol 4 on,
/// FRAME.
pub(in crate::checkpoint) fn detect(file: &[u8]) -> bool {
    let after = |start: usize| file.get(start..).is_some_and(|rest| rest.starts_with(MAGIC));
    file.starts_with(b"\x80") && (after(2) || after(11))
}

/// Names, shapes and places of all tensors, checked against the storages that follow.
pub(in crate::checkpoint) fn read(file: &[u8]) -> Result<Contents, FormatError> {
    let mut heap = Heap::default();
    let mut at = 0;
    let mut next = |heap: &mut _| {
        let (value, length) = pickle::load(&file[at..], heap)?;
        at += length;
        Ok::<_, PickleError>(value)
    };
    next(&mut heap)?;
    if !matches!(next(&mut heap)?, Value::Int(PROTOCOL_VERSION)) {
        return Err(FormatError::Legacy { part: "protocol version", wants: "1001" });
    }
    check_byte_order(next(&mut heap)?, &heap)?;
    let root = next(&mut heap)?;
    let keys = next(&mut heap)?;
    let places = storage_places(file, at, keys, &heap)?;
    place_all(flatten(root, &heap)?, &heap, &places)
}

fn check_byte_order(system: Value<'_>, heap: &Heap<'_>) -> Result<(), FormatError> {
    let Value::Dict(system) = system else {
        return Err(FormatError::Legacy { part: "system description", wants: "a dictionary" });
    };
    let big = heap
        .dict(system)
        .iter()
        .any(|pair| matches!(pair, (Value::Text("little_endian"), Value::Bool(false))));
    if big { Err(FormatError::ByteOrder { found: "big".to_owned() }) } else { Ok(()) }
}

/// Storages that the file is too short for get the bytes there are: the check of the tensors
/// then names one that lacks bytes.
fn storage_places<'a>(
    file: &[u8],
    mut at: usize,
    keys: Value<'a>,
    heap: &Heap<'a>,
) -> Result<StoragePlaces<'a>, FormatError> {
    let Value::Sequence(keys) = keys else {
        return Err(FormatError::Legacy { part: "list of storage keys", wants: "a list" });
    };
    let sizes: HashMap<_, _> = heap.storages().iter().map(|s| (s.key, s.element.size())).collect();
    let mut places = StoragePlaces::new();
    for &key in heap.sequence(keys) {
        let Value::Text(key) = key else {
            return Err(FormatError::Legacy { part: "storage key", wants: "text" });
        };
        let Some(size) = sizes.get(key) else {
            return Err(FormatError::Legacy { part: "storage key", wants: "one that is used" });
        };
        let Some(count) = file[at..].first_chunk::<8>() else {
            places.insert(key, (0, file.len()..file.len()));
            continue;
        };
        let start = at + 8;
        let length =
            usize::try_from(u64::from_le_bytes(*count)).unwrap_or(usize::MAX).saturating_mul(*size);
        at = start.saturating_add(length).min(file.len());
        places.insert(key, (0, start.min(at)..at));
    }
    Ok(places)
}
