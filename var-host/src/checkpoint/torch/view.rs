//! Checks of tensors against the bytes that the file has for their storages.

use core::ops::Range;
use std::collections::{BTreeMap, HashMap};

use crate::checkpoint::contents::Contents;
use crate::checkpoint::entry::TensorEntry;
use crate::checkpoint::torch::element::ElementType;
use crate::checkpoint::torch::flatten::Flat;
use crate::checkpoint::torch::value::{Heap, TorchStorage, View};
use crate::checkpoint::{Dtype, FormatError};

/// Where the bytes under each storage key lie: in which source, the file or what was inflated of it,
/// and where there.
pub(super) type StoragePlaces<'a> = HashMap<&'a str, (usize, Range<usize>)>;

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
    let (mut tensors, mut unreadable) = (BTreeMap::new(), flat.unreadable);
    for (name, view) in flat.tensors {
        let view = heap.view(view);
        match place(&name, view, heap.storage(view.storage), places)? {
            Ok(entry) => drop(tensors.insert(name, entry)),
            Err(kind) => drop(unreadable.insert(name, kind)),
        }
    }
    Ok(Contents { tensors, unreadable, metadata: flat.plain, inflated: None })
}

/// The tensor in its place, or of what element type that cannot be read it is.
fn place(
    tensor: &str,
    view: &View,
    storage: &TorchStorage<'_>,
    places: &StoragePlaces<'_>,
) -> Result<Result<TensorEntry, String>, FormatError> {
    let Some((source, place)) = places.get(storage.key) else {
        return Err(FormatError::MissingStorage {
            tensor: tensor.to_owned(),
            storage: storage.key.to_owned(),
        });
    };
    let (stored, size) = (storage.element.size(), view.element.size());
    if storage.whole > place.len() / stored {
        return Err(FormatError::ShortStorage {
            tensor: tensor.to_owned(),
            storage: storage.key.to_owned(),
            needs: FormatError::bytes(storage.whole, stored),
            has: place.len() as u64,
        });
    }
    let (needs, has) = (reach(view), storage.count * stored / size);
    if needs.is_none_or(|needs| needs > has) {
        return Err(FormatError::ViewBounds {
            tensor: tensor.to_owned(),
            needs: needs.map_or(u64::MAX, |needs| needs as u64),
            has: has as u64,
        });
    }
    // Eight bits are read as sixteen.
    if product(&view.shape).and_then(|count| count.checked_mul(size.max(2))).is_none() {
        let limit = usize::MAX as u64;
        return Err(FormatError::Expansion { tensor: tensor.to_owned(), needs: u64::MAX, limit });
    }
    let start = place.start + storage.start * stored + view.offset * size;
    let entry = |dtype| {
        let (shape, strides) = (view.shape.clone(), view.strides.clone());
        TensorEntry::strided(dtype, shape, start, strides).in_source(*source)
    };
    Ok(match view.element {
        ElementType::Known(dtype) => Ok(entry(dtype)),
        ElementType::Float8(float8) => Ok(entry(Dtype::U8).of_float8(float8)),
        ElementType::Other(name, _) => Err(format!("element type {name}")),
        ElementType::Untyped => Err("bytes without an element type".to_owned()),
    })
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
