//! Bytes lent by the caller for the lists of layers of a bound model.
#![allow(unsafe_code)]

use core::mem::{MaybeUninit, align_of, needs_drop, size_of};
use core::slice;

/// Hands out lists from one lent piece of memory; nothing is freed before the memory itself.
///
/// The memory may be on the stack, in a static or in a `Vec`; `Model::storage_len` says how much of it
/// a model needs.
///
/// ```
/// use core::mem::MaybeUninit;
/// use var_kernel::storage::Storage;
///
/// let mut bytes = [MaybeUninit::uninit(); Storage::len_of::<u32>(3)];
/// let mut storage = Storage::new(&mut bytes);
/// let mut list = storage.list(3);
/// list.push(7_u32);
/// list.push(8);
/// assert_eq!(list.into_slice(), [7, 8]);
/// ```
pub struct Storage<'s>(&'s mut [MaybeUninit<u8>]);

/// A list of up to as many elements as it was made for.
pub struct List<'s, T> {
    slots: &'s mut [MaybeUninit<T>],
    length: usize,
}

impl<'s> Storage<'s> {
    /// Lists from `bytes`; their contents and alignment do not matter.
    pub fn new(bytes: &'s mut [MaybeUninit<u8>]) -> Self {
        Self(bytes)
    }

    /// Bytes of a list of `count` elements, padding to any alignment included.
    pub const fn len_of<T>(count: usize) -> usize {
        count * size_of::<T>() + align_of::<T>() - 1
    }

    /// Bytes left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no byte is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same memory for lists that live shorter: free again when the child is dropped.
    pub fn scope(&mut self) -> Storage<'_> {
        Storage(self.0)
    }

    /// An empty list with room for `capacity` elements.
    ///
    /// # Panics
    /// If fewer bytes are left than [`Storage::len_of`] says. Elements must not need a drop: nothing
    /// would run it (refused at compile time).
    #[track_caller]
    pub fn list<T>(&mut self, capacity: usize) -> List<'s, T> {
        const { assert!(!needs_drop::<T>(), "elements of a list are never dropped") };
        let free = core::mem::take(&mut self.0);
        let padding = free.as_ptr().align_offset(align_of::<T>());
        let wanted = padding.saturating_add(capacity * size_of::<T>());
        assert!(wanted <= free.len(), "storage: {wanted} bytes wanted, {} left", free.len());
        let (taken, rest) = free.split_at_mut(wanted);
        self.0 = rest;
        let start = taken[padding..].as_mut_ptr().cast();
        // SAFETY: the bytes are this call's alone for 's, as many as `capacity` elements take, and
        // begin at a multiple of their alignment; `MaybeUninit` asks nothing of their contents.
        let slots = unsafe { slice::from_raw_parts_mut(start, capacity) };
        List { slots, length: 0 }
    }
}

impl<'s, T> List<'s, T> {
    /// Appends `element`.
    ///
    /// # Panics
    /// If the list is full.
    #[track_caller]
    pub fn push(&mut self, element: T) {
        let capacity = self.slots.len();
        assert!(self.length < capacity, "a list made for {capacity} elements is full");
        self.slots[self.length].write(element);
        self.length += 1;
    }

    /// The elements.
    pub fn into_slice(self) -> &'s [T] {
        let slots = &self.slots[..self.length];
        // SAFETY: `push` has written the first `length` slots, and a `MaybeUninit<T>` is laid out as
        // a `T`.
        unsafe { slice::from_raw_parts(slots.as_ptr().cast(), slots.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_aligned_and_do_not_overlap() {
        let mut bytes = [MaybeUninit::uninit(); 64];
        for offset in 0..8 {
            let mut storage = Storage::new(&mut bytes[offset..]);
            let (mut a, mut b) = (storage.list::<u8>(3), storage.list::<u64>(4));
            for value in 0..4 {
                if value < 3 {
                    a.push(value);
                }
                b.push(u64::from(value) << 56);
            }
            let (a, b) = (a.into_slice(), b.into_slice());
            assert_eq!((a, b), (&[0, 1, 2][..], &[0, 1 << 56, 2 << 56, 3 << 56][..]));
            assert_eq!(b.as_ptr() as usize % align_of::<u64>(), 0);
        }
    }

    #[test]
    fn a_scope_gives_its_memory_back() {
        let mut bytes = [MaybeUninit::uninit(); Storage::len_of::<u32>(4)];
        let mut storage = Storage::new(&mut bytes);
        storage.scope().list::<u32>(4).push(1);
        storage.list::<u32>(4).push(1);
    }

    #[test]
    fn an_empty_list_takes_nothing() {
        let list = Storage::new(&mut []).list::<u8>(0);
        assert!(list.into_slice().is_empty());
    }

    #[test]
    #[should_panic(expected = "storage: 12 bytes wanted, 11 left")]
    fn storage_too_small_says_both_numbers() {
        Storage::new(&mut [MaybeUninit::uninit(); 11]).list::<u8>(12);
    }

    #[test]
    #[should_panic(expected = "a list made for 1 elements is full")]
    fn a_full_list_refuses_more() {
        let mut bytes = [MaybeUninit::uninit(); 8];
        let mut list = Storage::new(&mut bytes).list::<u8>(1);
        list.push(1);
        list.push(2);
    }
}
