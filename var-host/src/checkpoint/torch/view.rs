//! Checks of tensors against the bytes that the file has for their storages.

use core::ops::Range;
use std::collections::{BTreeMap, HashMap};

use crate::checkpoint::entry::Entry;
use crate::checkpoint::torch::flatten::Flat;
use crate::checkpoint::torch::value::{Heap, Storage, View};
use crate::checkpoint::{Contents, FormatError};

/// Where in the file the bytes under each storage key lie.
pub(super) type StoragePlaces<'a> = HashMap<&'a str, Range<usize>>;

/// Places every tensor of `flat` in the file.
///
/// # Errors
///
/// [`FormatError::MissingStorage`], [`FormatError::ShortStorage`] or [`FormatError::ViewBounds`],
/// which name the tensor.
pub(super) fn place_all(
    flat: Flat,
    heap: &Heap<'_>,
    places: &StoragePlaces<'_>,
) -> Result<Contents, FormatError> {
    let mut tensors = BTreeMap::new();
    for (name, view) in flat.tensors {
        let view = heap.view(view);
        let entry = place(&name, view, heap.storage(view.storage), places)?;
        tensors.insert(name, entry);
    }
    Ok(Contents { tensors, metadata: flat.plain })
}

fn place(
    tensor: &str,
    view: &View,
    storage: &Storage<'_>,
    places: &StoragePlaces<'_>,
) -> Result<Entry, FormatError> {
    let Some(place) = places.get(storage.key) else {
        return Err(FormatError::MissingStorage {
            tensor: tensor.to_owned(),
            storage: storage.key.to_owned(),
        });
    };
    let size = storage.dtype.size();
    if storage.whole > place.len() / size {
        return Err(FormatError::ShortStorage {
            tensor: tensor.to_owned(),
            storage: storage.key.to_owned(),
            needs: FormatError::bytes(storage.whole, storage.dtype),
            has: place.len() as u64,
        });
    }
    let needs = reach(view);
    if needs.is_none_or(|needs| needs > storage.count) {
        return Err(FormatError::ViewBounds {
            tensor: tensor.to_owned(),
            needs: needs.map_or(u64::MAX, |needs| needs as u64),
            has: storage.count as u64,
        });
    }
    if product(&view.shape).and_then(|count| count.checked_mul(size)).is_none() {
        let limit = usize::MAX as u64;
        return Err(FormatError::Expansion { tensor: tensor.to_owned(), needs: u64::MAX, limit });
    }
    let start = place.start + (storage.start + view.offset) * size;
    Ok(Entry::strided(storage.dtype, view.shape.clone(), start, view.strides.clone()))
}

/// One more than the last element of the storage that `view` touches; its offset if it is empty.
fn reach(view: &View) -> Option<usize> {
    if view.shape.contains(&0) {
        return Some(view.offset);
    }
    let last = view
        .shape
        .iter()
        .zip(&view.strides)
        .try_fold(view.offset, |last, (&dimension, &stride)| {
            last.checked_add((dimension - 1).checked_mul(stride)?)
        });
    last?.checked_add(1)
}

fn product(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &dimension| product.checked_mul(dimension))
}
