//! PyTorch's zip files: `NAME/data.pkl`, `NAME/byteorder`, and one `NAME/data/KEY` per storage.

use core::ops::Range;
use std::collections::HashMap;
use std::io::{self, Cursor, Read};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::checkpoint::aligned::AlignedBytes;

use crate::checkpoint::FormatError;
use crate::checkpoint::contents::Contents;
use crate::checkpoint::torch::flatten::flatten;
use crate::checkpoint::torch::pickle;
use crate::checkpoint::torch::value::Heap;
use crate::checkpoint::torch::view::{StoragePlaces, place_all};

/// Whether `file` begins like a zip archive.
pub(in crate::checkpoint) fn detect(file: &[u8]) -> bool {
    file.starts_with(b"PK\x03\x04")
}

/// Names, shapes and places of all tensors, checked against the storages in the archive.
pub(in crate::checkpoint) fn read(file: &[u8]) -> Result<Contents, FormatError> {
    let (entries, inflated) = entries(file)?;
    let sources = [file, inflated.as_ref().map_or(&[], AlignedBytes::as_slice)];
    let folder = entries.keys().find_map(|name| {
        let folder = name.strip_suffix("data.pkl")?;
        let (_, below) = folder.split_once('/').unwrap_or(("", ""));
        below.is_empty().then_some(folder)
    });
    let Some(folder) = folder else { return Err(other_archive(&entries)) };
    if entries.contains_key(&format!("{folder}constants.pkl")) {
        let what = "a TorchScript archive".to_owned();
        let advice = "save its state_dict() by torch.save";
        return Err(FormatError::OtherKind { what, advice });
    }
    let entry = |name: &str| {
        entries
            .get(&format!("{folder}{name}"))
            .map(|(source, place)| &sources[*source][place.clone()])
    };
    // Files from before PyTorch 2.1 do not say; they come from little-endian machines.
    if let Some(order) = entry("byteorder").filter(|&order| order != b"little") {
        let found = String::from_utf8_lossy(&order[..order.len().min(16)]).into_owned();
        return Err(FormatError::ByteOrder { found });
    }
    let mut heap = Heap::default();
    let pickle = entry("data.pkl").ok_or(FormatError::MissingEntry { entry: "data.pkl" })?;
    let (root, _) = pickle::load(pickle, &mut heap)?;
    let storages = format!("{folder}data/");
    let places: StoragePlaces<'_> = entries
        .iter()
        .filter_map(|(name, place)| Some((name.strip_prefix(&storages)?, place.clone())))
        .collect();
    let contents = place_all(flatten(root, &heap)?, &heap, &places)?;
    Ok(Contents { inflated, ..contents })
}

/// An archive of something else.
fn other_archive(entries: &HashMap<String, SourceRange>) -> FormatError {
    if entries.keys().any(|name| name.ends_with(".npy")) {
        let what = "a NumPy archive (.npz)".to_owned();
        let advice = "save its tensors as safetensors or by torch.save";
        return FormatError::OtherKind { what, advice };
    }
    FormatError::MissingEntry { entry: "data.pkl" }
}

/// In which source an entry's bytes lie, 0 the file, 1 what was inflated of it, and where there.
type SourceRange = (usize, Range<usize>);

/// Most bytes that deflated entries may have for each byte of the file: weights hardly shrink, masks
/// and the optimizer's zeros do.
const MOST_INFLATION: usize = 16;
/// What they may have besides.
const FREE_INFLATION: usize = 16 << 20;

/// Where the bytes of every entry lie, and those that were deflated.
fn entries(
    file: &[u8],
) -> Result<(HashMap<String, SourceRange>, Option<AlignedBytes>), FormatError> {
    let zip = |source| FormatError::Zip { source };
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(zip)?;
    let mut entries = HashMap::with_capacity(archive.len());
    let mut deflated = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(zip)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        match entry.compression() {
            CompressionMethod::Stored if !entry.encrypted() => {}
            CompressionMethod::Deflated if !entry.encrypted() => {
                deflated.push((i, name, entry.size()));
                continue;
            }
            method => {
                let encrypted = entry.encrypted();
                let method = if encrypted { "encrypted".to_owned() } else { method.to_string() };
                return Err(FormatError::CompressedEntry { entry: name, method });
            }
        }
        let start = entry.data_start().unwrap_or(u64::MAX);
        let end = start.saturating_add(entry.size());
        if end > file.len() as u64 {
            let has = file.len() as u64;
            return Err(FormatError::EntryBounds { entry: name, needs: end, has });
        }
        entries.insert(name, (0, start as usize..end as usize));
    }
    if deflated.is_empty() {
        return Ok((entries, None));
    }
    let limit = file.len().saturating_mul(MOST_INFLATION).saturating_add(FREE_INFLATION);
    // Each begins aligned for every element type.
    let rooms = deflated.iter().map(|(.., size)| size.saturating_add(7) / 8 * 8);
    let needs = rooms.fold(0, u64::saturating_add);
    if needs > limit as u64 {
        return Err(FormatError::Limit { what: "the length of the deflated entries", limit });
    }
    let mut inflated = AlignedBytes::zeroed(needs as usize);
    let mut at = 0;
    for (i, name, size) in deflated {
        let mut entry = archive.by_index(i).map_err(zip)?;
        let place = at..at + size as usize;
        let read = entry.read_exact(&mut inflated.as_mut_slice()[place.clone()]);
        // The end of the data is where the checksum is compared.
        let rest = read.and_then(|()| entry.read(&mut [0]));
        match rest {
            Ok(0) => {}
            Ok(_) => {
                let error = io::Error::new(io::ErrorKind::InvalidData, "longer than it says");
                return Err(zip(ZipError::Io(error)));
            }
            Err(error) => return Err(zip(ZipError::Io(error))),
        }
        at = place.end.next_multiple_of(8);
        entries.insert(name, (1, place));
    }
    Ok((entries, Some(inflated)))
}
