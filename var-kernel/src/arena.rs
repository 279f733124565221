//! Memory lent by the caller, handed out in order and taken back by scope.

use core::cell::Cell;

use crate::memory::Floats;

/// Every run starts at a multiple of this many floats (64 bytes: one cache line, one AVX-512
/// register), if the lent memory does.
pub const ALIGNMENT: usize = 16;

/// Hands out runs of one lent piece of memory.
///
/// [`Arena::take`] gives the next run; [`Arena::scope`] opens a child whose runs are free again
/// when the child is dropped. Contents are unspecified: whoever takes a run overwrites it whole
/// before reading it.
///
/// ```
/// use var_kernel::arena::Arena;
/// let mut memory = [0.0; 64];
/// let mut arena = Arena::new(&mut memory[..]);
/// let kept = arena.take(8);
/// {
///     let mut scope = arena.scope();
///     scope.take(32).fill(1.0);
/// }
/// let reused = arena.take(32);
/// assert_eq!((kept.len(), reused[0]), (8, 1.0));
/// ```
pub struct Arena<'m, S: Floats + ?Sized> {
    free: Option<&'m mut S>,
    taken: usize,
    peak: Option<&'m Cell<usize>>,
}

impl<'m, S: Floats + ?Sized> Arena<'m, S> {
    /// An arena over all of `memory`.
    pub fn new(memory: &'m mut S) -> Self {
        Self { free: Some(memory), taken: 0, peak: None }
    }

    /// An arena that notes in `peak` the most floats taken at once, over all of its scopes.
    pub fn measured(memory: &'m mut S, peak: &'m Cell<usize>) -> Self {
        Self { free: Some(memory), taken: 0, peak: Some(peak) }
    }

    /// The next `length` floats, contents unspecified.
    ///
    /// # Panics
    /// If fewer are left: the arena was sized for another model or batch.
    #[track_caller]
    pub fn take(&mut self, length: usize) -> &'m mut S {
        let free = self.free.take().expect("an arena always holds what is left");
        let padded = length.next_multiple_of(ALIGNMENT);
        assert!(padded <= free.len(), "arena: {padded} floats wanted, {} left", free.len());
        let (run, rest) = free.split_at_mut(padded);
        self.free = Some(rest);
        self.taken += padded;
        if let Some(peak) = self.peak {
            peak.set(peak.get().max(self.taken));
        }
        run.range_mut(0..length)
    }

    /// A child over what is left; its runs are free again when it is dropped.
    pub fn scope(&mut self) -> Arena<'_, S> {
        Arena { free: self.free.as_deref_mut(), taken: self.taken, peak: self.peak }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_do_not_overlap_and_start_aligned() {
        let mut memory = [0.0_f32; 96];
        let start = memory.as_ptr() as usize;
        let mut arena = Arena::new(&mut memory[..]);
        let (a, b) = (arena.take(3), arena.take(17));
        assert_eq!((a.len(), b.len()), (3, 17));
        assert_eq!(b.as_ptr() as usize - start, ALIGNMENT * size_of::<f32>());
    }

    #[test]
    fn the_peak_counts_the_deepest_scope() {
        let (mut memory, peak) = ([0.0_f32; 256], Cell::new(0));
        let mut arena = Arena::measured(&mut memory[..], &peak);
        arena.take(16);
        arena.scope().take(64);
        arena.scope().take(32);
        arena.take(1);
        assert_eq!(peak.get(), 80);
    }

    #[test]
    #[should_panic(expected = "arena: 32 floats wanted, 16 left")]
    fn an_arena_too_small_says_both_numbers() {
        Arena::new(&mut [0.0_f32; 16][..]).take(17);
    }
}
