//! A piece of the caller's memory, handed out in order.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use core::slice;

use varimage_abi::{Failure, Status};

/// Alignment of each run handed out: a cache line.
const ALIGNMENT: usize = 64;

/// Memory from `next` to `end`.
pub(crate) struct Block {
    next: usize,
    end: usize,
    start: *mut u8,
}

/// A count of the bytes that a [`Block`] will be asked for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Bytes(usize);

impl Bytes {
    /// With room for `count` values.
    pub(crate) fn and<T>(self, count: usize) -> Self {
        let bytes = count.saturating_mul(size_of::<T>());
        Self(self.0.saturating_add(bytes).saturating_add(ALIGNMENT))
    }

    /// The sum.
    pub(crate) fn total(self) -> usize {
        self.0
    }
}

impl Block {
    /// `length` bytes at `start`, of which `wanted` will be asked for.
    ///
    /// # Errors
    /// If there are fewer.
    ///
    /// # Safety
    /// So many bytes must lie there, used by nothing else for as long as what is handed out.
    pub(crate) unsafe fn new(
        start: *mut u8,
        length: usize,
        wanted: Bytes,
    ) -> Result<Self, Failure> {
        let wanted = wanted.total();
        if start.is_null() || length < wanted {
            let length = if start.is_null() { 0 } else { length };
            let text = format_args!("{wanted} bytes of memory wanted, {length} lent");
            return Err(Failure::new(Status::Memory, text));
        }
        Ok(Self { next: 0, end: length, start })
    }

    /// Room for `count` values.
    pub(crate) fn room<T>(&mut self, count: usize) -> &'static mut [MaybeUninit<T>] {
        let at = self.start.wrapping_add(self.next);
        let padding = at.align_offset(ALIGNMENT);
        let bytes = count * size_of::<T>();
        assert!(self.next + padding + bytes <= self.end, "the bytes were counted before");
        // SAFETY: the range is inside of the block, aligned, and handed out once; `MaybeUninit` asks
        // nothing of its contents.
        let room = unsafe { slice::from_raw_parts_mut(at.add(padding).cast(), count) };
        self.next += padding + bytes;
        room
    }

    /// `count` times `value`.
    pub(crate) fn filled<T: Copy>(&mut self, count: usize, value: T) -> &'static mut [T] {
        let room = self.room::<T>(count);
        for slot in room.iter_mut() {
            slot.write(value);
        }
        // SAFETY: all have just been written.
        unsafe { slice::from_raw_parts_mut(room.as_mut_ptr().cast(), count) }
    }

    /// `value`, moved here.
    pub(crate) fn value<T>(&mut self, value: T) -> &'static mut T {
        self.room::<T>(1)[0].write(value)
    }
}
