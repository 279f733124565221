//! PyTorch's zip files: `NAME/data.pkl`, `NAME/byteorder`, and one `NAME/data/KEY` per storage.

use core::ops::Range;
use std::collections::HashMap;
use std::io::Cursor;

use zip::{CompressionMethod, ZipArchive};

use crate::checkpoint::torch::flatten::flatten;
use crate::checkpoint::torch::pickle;
use crate::checkpoint::torch::value::Heap;
use crate::checkpoint::torch::view::{StoragePlaces, place_all};
use crate::checkpoint::{Contents, FormatError};

/// Whether `file` begins like a zip archive.
pub(in crate::checkpoint) fn detect(file: &[u8]) -> bool {
    file.starts_with(b"PK\x03\x04")
}

/// Names, shapes and places of all tensors, checked against the storages in the archive.
pub(in crate::checkpoint) fn read(file: &[u8]) -> Result<Contents, FormatError> {
    let entries = entries(file)?;
    let folder = entries.keys().find_map(|name| {
        let folder = name.strip_suffix("data.pkl")?;
        let (_, below) = folder.split_once('/').unwrap_or(("", ""));
        below.is_empty().then_some(folder)
    });
    let folder = folder.ok_or(FormatError::MissingEntry { entry: "data.pkl" })?;
    let entry =
        |name: &str| entries.get(&format!("{folder}{name}")).map(|place| &file[place.clone()]);
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
    place_all(flatten(root, &heap)?, &heap, &places)
}

/// Where the bytes of every entry lie in the file.
fn entries(file: &[u8]) -> Result<HashMap<String, Range<usize>>, FormatError> {
    let zip = |source| FormatError::Zip { source };
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(zip)?;
    let mut entries = HashMap::with_capacity(archive.len());
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(zip)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            let method = if entry.encrypted() {
                "encrypted".to_owned()
            } else {
                entry.compression().to_string()
            };
            return Err(FormatError::CompressedEntry { entry: name, method });
        }
        let start = entry.data_start().unwrap_or(u64::MAX);
        let end = start.saturating_add(entry.size());
        if end > file.len() as u64 {
            let has = file.len() as u64;
            return Err(FormatError::EntryBounds { entry: name, needs: end, has });
        }
        entries.insert(name, start as usize..end as usize);
    }
    Ok(entries)
}
