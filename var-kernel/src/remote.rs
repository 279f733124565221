//! Slices the host can point at but not read: memory of a GPU, or none at all.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ops::Range;
use core::ptr;

use crate::memory::Floats;

/// Bytes of one element of a [`DeviceSlice`].
pub const WORD: u64 = 4;

/// A run of 32-bit words in a memory that the host does not read: which one, `M` says.
///
/// `&DeviceSlice` is an address and a length. Its elements have no size, so the host cannot read through
/// it, and borrows, lifetimes and [`Floats::split_at_mut`] govern that memory as they govern the
/// host's.
#[repr(transparent)]
pub struct DeviceSlice<M>([DeviceWord<M>]);

/// One word of device memory, as the host sees it.
struct DeviceWord<M>(PhantomData<M>);

/// A GPU's memory.
#[derive(Debug)]
pub enum GpuMemory {}

/// No memory: only places.
#[derive(Debug)]
pub enum NoMemory {}

/// A run of 32-bit words in a GPU's memory: `f32`, tokens, or packed 16-bit numbers.
pub type Remote = DeviceSlice<GpuMemory>;

/// A run of addresses without memory behind them: operands of a dry run that asks for places.
pub type DryAddresses = DeviceSlice<NoMemory>;

impl DryAddresses {
    /// `length` places from the one numbered `start` on, which must not be 0.
    ///
    /// # Panics
    /// If `start` is 0.
    pub fn new<'a>(start: usize, length: usize) -> &'a mut Self {
        Self::at_mut(WORD * start as u64, length)
    }
}

impl<M> DeviceSlice<M> {
    /// The run of `words` words at `address`, which must not be 0.
    ///
    /// Making one is safe, as reading through it is impossible; that a GPU's is a run of memory, lent
    /// to no one else, is for the GPU's memory and its queue to see to.
    ///
    /// # Panics
    /// If `address` is 0.
    pub(crate) fn at<'a>(address: u64, words: usize) -> &'a Self {
        // SAFETY: as `at_mut`.
        unsafe { &*Self::pointer(address, words) }
    }

    /// As [`DeviceSlice::at`], to write.
    ///
    /// # Panics
    /// If `address` is 0.
    pub(crate) fn at_mut<'a>(address: u64, words: usize) -> &'a mut Self {
        // SAFETY: the pointer is not null and its type has alignment 1 and size 0 at every length: a
        // reference to no bytes is valid and overlaps no other.
        unsafe { &mut *Self::pointer(address, words) }
    }

    fn pointer(address: u64, words: usize) -> *mut Self {
        assert_ne!(address, 0, "a run has an address");
        let address = usize::try_from(address).expect("addresses are as wide as ours");
        ptr::slice_from_raw_parts_mut(ptr::without_provenance_mut::<DeviceWord<M>>(address), words)
            as *mut Self
    }

    /// Where it begins, in bytes.
    pub fn address(&self) -> u64 {
        self.0.as_ptr().addr() as u64
    }
}

impl<M> Floats for DeviceSlice<M> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn range(&self, range: Range<usize>) -> &Self {
        check(&range, self.len());
        Self::at(self.address() + WORD * range.start as u64, range.len())
    }

    fn range_mut(&mut self, range: Range<usize>) -> &mut Self {
        check(&range, self.len());
        Self::at_mut(self.address() + WORD * range.start as u64, range.len())
    }

    fn split_at_mut(&mut self, middle: usize) -> (&mut Self, &mut Self) {
        check(&(0..middle), self.len());
        let address = self.address();
        (
            Self::at_mut(address, middle),
            Self::at_mut(address + WORD * middle as u64, self.len() - middle),
        )
    }
}

#[track_caller]
fn check(range: &Range<usize>, length: usize) {
    assert!(
        range.start <= range.end && range.end <= length,
        "range {range:?} of a run of {length} words"
    );
}

impl<M> core::fmt::Debug for DeviceSlice<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "DeviceSlice({:#x}, {} words)", self.address(), self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::{ALIGNMENT, Arena};

    #[test]
    fn runs_are_cut_like_slices() {
        let run = Remote::at_mut(0x1000, 100);
        let (a, b) = run.split_at_mut(40);
        assert_eq!((a.address(), a.len()), (0x1000, 40));
        assert_eq!((b.address(), b.len()), (0x1000 + 160, 60));
        assert_eq!((b.range(10..12).address(), b.range(10..12).len()), (0x1000 + 200, 2));
        assert_eq!((a.range_mut(40..40).address(), a.range(0..0).len()), (0x1000 + 160, 0));
    }

    #[test]
    fn arena_hands_them_out() {
        let mut arena = Arena::new(Remote::at_mut(0x8000, 64));
        let (a, b) = (arena.take(3), arena.take(17));
        assert_eq!((a.address(), a.len()), (0x8000, 3));
        assert_eq!((b.address(), b.len()), (0x8000 + WORD * ALIGNMENT as u64, 17));
    }

    #[test]
    #[should_panic(expected = "range 2..5 of a run of 4 words")]
    fn ranges_that_reach_over_are_refused() {
        Remote::at(64, 4).range(2..5);
    }
}
