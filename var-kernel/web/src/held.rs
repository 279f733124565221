//! A value that other values of the same structure borrow.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ptr::NonNull;

/// A value on the heap that stays where it is, for values beside it to borrow.
pub struct Held<T>(NonNull<T>, PhantomData<T>);

impl<T> Held<T> {
    /// Puts `value` on the heap.
    pub fn new(value: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(value))), PhantomData)
    }

    /// Lends the value.
    ///
    /// # Safety
    ///
    /// The reference, and all made of it, must be gone before the value is lent again or dropped.
    pub unsafe fn lend(&mut self) -> &'static mut T {
        // SAFETY: the value lives until `self` is dropped, and the caller keeps to one loan at a time.
        unsafe { self.0.as_mut() }
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        // SAFETY: `new` has leaked this box, and every loan is over.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lent_value_stays_where_it_is() {
        let mut held = Held::new(vec![1, 2, 3]);
        // SAFETY: the loan ends before the next, and before the value.
        let lent = unsafe { held.lend() };
        lent.push(4);
        let address = lent.as_ptr();
        let mut moved = Box::new(held);
        // SAFETY: as above.
        let again = unsafe { moved.lend() };
        assert_eq!((again.as_ptr(), &again[..]), (address, &[1, 2, 3, 4][..]));
    }
}
