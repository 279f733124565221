//! Memory for the lists of layers of a bound model: bytes lent by the caller, or the heap.
#![allow(unsafe_code)]

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::mem::{MaybeUninit, align_of, needs_drop, size_of};
use core::ops::Deref;
use core::slice;

/// Hands out lists from one lent piece of memory; nothing is freed before the memory itself.
///
/// The memory may be on the stack or in a static; `Model::storage_len` says how much of it a model
/// needs. With the feature `alloc`, [`Storage::heap`] takes lists from the heap, and there is no length
/// to know.
///
/// ```
/// use core::mem::MaybeUninit;
/// use var_kernel::Storage;
///
/// let mut bytes = [MaybeUninit::uninit(); Storage::len_of::<u32>(3)];
/// let mut storage = Storage::new(&mut bytes);
/// let mut list = storage.list(3);
/// list.push(7_u32);
/// list.push(8);
/// assert_eq!(list[..], [7, 8]);
/// ```
pub struct Storage<'s>(Free<'s>);

/// Memory not yet given out.
enum Free<'s> {
    Lent(&'s mut [MaybeUninit<u8>]),
    #[cfg(feature = "alloc")]
    Heap,
}

/// A list of up to as many elements as it was made for: a slice of those pushed so far.
pub struct List<'s, T>(Slots<'s, T>);

enum Slots<'s, T> {
    /// The first `length` slots are written.
    Lent { slots: &'s mut [MaybeUninit<T>], length: usize },
    #[cfg(feature = "alloc")]
    Heap(Vec<T>),
}

impl<'s> Storage<'s> {
    /// Lists from `bytes`; their contents and alignment do not matter.
    pub fn new(bytes: &'s mut [MaybeUninit<u8>]) -> Self {
        Self(Free::Lent(bytes))
    }

    /// Bytes of a list of `count` elements, padding to any alignment included.
    pub const fn len_of<T>(count: usize) -> usize {
        count * size_of::<T>() + align_of::<T>() - 1
    }

    /// Bytes left of lent memory.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        match &self.0 {
            Free::Lent(bytes) => bytes.len(),
            #[cfg(feature = "alloc")]
            Free::Heap => usize::MAX,
        }
    }

    /// The same memory for lists that live shorter: free again when the child is dropped.
    pub fn scope(&mut self) -> Storage<'_> {
        match &mut self.0 {
            Free::Lent(bytes) => Storage(Free::Lent(bytes)),
            #[cfg(feature = "alloc")]
            Free::Heap => Storage(Free::Heap),
        }
    }

    /// An empty list with room for `capacity` elements.
    ///
    /// # Panics
    /// If fewer bytes are left than [`Storage::len_of`] says. Elements must not need a drop: nothing
    /// would run it in lent memory (refused at compile time).
    #[track_caller]
    pub fn list<T>(&mut self, capacity: usize) -> List<'s, T> {
        const { assert!(!needs_drop::<T>(), "elements of a list are never dropped") };
        let free = match &mut self.0 {
            Free::Lent(bytes) => core::mem::take(bytes),
            #[cfg(feature = "alloc")]
            Free::Heap => return List(Slots::Heap(Vec::with_capacity(capacity))),
        };
        let padding = free.as_ptr().align_offset(align_of::<T>());
        let wanted = padding.saturating_add(capacity * size_of::<T>());
        assert!(wanted <= free.len(), "storage: {wanted} bytes wanted, {} left", free.len());
        let (taken, rest) = free.split_at_mut(wanted);
        self.0 = Free::Lent(rest);
        let start = taken[padding..].as_mut_ptr().cast();
        // SAFETY: the bytes are this call's alone for 's, as many as `capacity` elements take, and
        // begin at a multiple of their alignment; `MaybeUninit` asks nothing of their contents.
        let slots = unsafe { slice::from_raw_parts_mut(start, capacity) };
        List(Slots::Lent { slots, length: 0 })
    }
}

#[cfg(feature = "alloc")]
impl Storage<'static> {
    /// Lists from the heap, as long as they are asked to be: a model bound in it owns its layers.
    ///
    /// ```
    /// use var_kernel::Storage;
    ///
    /// let mut list = Storage::heap().list(2);
    /// list.push(7_u32);
    /// assert_eq!(list[..], [7]);
    /// ```
    pub fn heap() -> Self {
        Self(Free::Heap)
    }
}

impl<T> List<'_, T> {
    /// Appends `element`.
    ///
    /// # Panics
    /// If the list is full, in lent memory.
    #[track_caller]
    pub fn push(&mut self, element: T) {
        match &mut self.0 {
            Slots::Lent { slots, length } => {
                let capacity = slots.len();
                assert!(*length < capacity, "a list made for {capacity} elements is full");
                slots[*length].write(element);
                *length += 1;
            }
            #[cfg(feature = "alloc")]
            Slots::Heap(list) => list.push(element),
        }
    }
}

impl<T> Deref for List<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Slots::Lent { slots, length } => {
                let slots = &slots[..*length];
                // SAFETY: `push` has written the first `length` slots, and a `MaybeUninit<T>` is laid
                // out as a `T`.
                unsafe { slice::from_raw_parts(slots.as_ptr().cast(), slots.len()) }
            }
            #[cfg(feature = "alloc")]
            Slots::Heap(list) => list,
        }
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
            assert_eq!((&a[..], &b[..]), (&[0, 1, 2][..], &[0, 1 << 56, 2 << 56, 3 << 56][..]));
            assert_eq!(b.as_ptr() as usize % align_of::<u64>(), 0);
        }
    }

    #[test]
    fn scope_gives_its_memory_back() {
        let mut bytes = [MaybeUninit::uninit(); Storage::len_of::<u32>(4)];
        let mut storage = Storage::new(&mut bytes);
        storage.scope().list::<u32>(4).push(1);
        storage.list::<u32>(4).push(1);
    }

    #[test]
    fn empty_list_takes_nothing() {
        assert!(Storage::new(&mut []).list::<u8>(0).is_empty());
    }

    #[test]
    #[cfg(feature = "alloc")]
    fn list_on_the_heap_grows() {
        let mut list = Storage::heap().list(2);
        list.push(1_u8);
        list.push(2);
        assert_eq!(list[..], [1, 2]);
    }

    #[test]
    #[should_panic(expected = "storage: 12 bytes wanted, 11 left")]
    fn storage_too_small_says_both_numbers() {
        Storage::new(&mut [MaybeUninit::uninit(); 11]).list::<u8>(12);
    }

    #[test]
    #[should_panic(expected = "a list made for 1 elements is full")]
    fn full_list_refuses_more() {
        let mut bytes = [MaybeUninit::uninit(); 8];
        let mut list = Storage::new(&mut bytes).list::<u8>(1);
        list.push(1);
        list.push(2);
    }
}
