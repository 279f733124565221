//! Memory lent by the caller, handed out in order and taken back by scope, or kept for a backward
//! pass.

use core::cell::Cell;

use crate::memory::Floats;

/// Every run starts at a multiple of this many floats (64 bytes: one cache line, one AVX-512
/// register), if the lent memory does.
pub const ALIGNMENT: usize = 16;

/// Hands out runs of one lent piece of memory.
///
/// [`Arena::take`] gives the next run; [`Arena::scope`] opens a child that frees its runs when it
/// is dropped. Contents are unspecified: overwrite a run whole
/// before reading it.
///
/// An arena that keeps ([`Arena::keeping`]) never gives the same memory twice, so that the backward
/// pass finds every activation of the forward pass. The same model runs in either kind.
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
    /// Where memory that was never given begins, in an arena that keeps.
    kept: Option<&'m Cell<usize>>,
    /// The same within a turn, in an arena with turns that share memory.
    segment_end: Option<&'m Cell<usize>>,
}

impl<'m, S: Floats + ?Sized> Arena<'m, S> {
    /// An arena over all of `memory`.
    pub fn new(memory: &'m mut S) -> Self {
        Self { free: Some(memory), taken: 0, peak: None, kept: None, segment_end: None }
    }

    /// An arena that notes in `peak` the most floats taken at once, over all of its scopes.
    pub fn measured(memory: &'m mut S, peak: &'m Cell<usize>) -> Self {
        Self { peak: Some(peak), ..Self::new(memory) }
    }

    /// An arena that frees nothing at the end of a scope: no memory is given twice.
    ///
    /// `kept` holds how many floats have been given so far, over all scopes; it must be 0.
    ///
    /// # Panics
    /// If `kept` is not 0.
    pub fn keeping(memory: &'m mut S, kept: &'m Cell<usize>) -> Self {
        assert_eq!(kept.get(), 0, "an arena that keeps begins with nothing kept");
        Self { kept: Some(kept), ..Self::new(memory) }
    }

    /// The same, but each [`Arena::segment`] reuses the memory of the one before: the backward pass must
    /// recompute its activations.
    pub fn in_segments(self, segment_end: &'m Cell<usize>) -> Self {
        Self { segment_end: Some(segment_end), ..self }
    }

    /// Also notes in `peak` the most floats in use at once.
    pub fn measuring(self, peak: &'m Cell<usize>) -> Self {
        Self { peak: Some(peak), ..self }
    }

    /// Whether runs stay as they are when their scope ends.
    ///
    /// A model asks before it fuses two steps: the backward pass needs the value between them.
    pub fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    /// The next `length` floats, contents unspecified.
    ///
    /// # Panics
    /// If fewer are left: the arena was sized for another model or batch.
    #[track_caller]
    pub fn take(&mut self, length: usize) -> &'m mut S {
        let run = self.next(length);
        if let Some(kept) = self.kept {
            kept.set(self.taken);
        }
        run
    }

    /// `length` floats of scratch memory for one operation, contents unspecified, and the end of this
    /// scope: free again when they are dropped, even in an arena that keeps.
    ///
    /// # Panics
    /// As [`Arena::take`].
    #[track_caller]
    pub fn into_scratch(mut self, length: usize) -> &'m mut S {
        self.next(length)
    }

    /// A run of at least `length` floats: `spent`, which has served, or a new run if it must be kept.
    ///
    /// # Panics
    /// As [`Arena::take`], or if `spent` is shorter than `length`.
    #[track_caller]
    pub fn instead_of(&mut self, spent: &'m mut S, length: usize) -> &'m mut S {
        assert!(spent.len() >= length, "arena: {length} floats instead of {}", spent.len());
        if self.keeps() { self.take(length) } else { spent }
    }

    #[track_caller]
    fn next(&mut self, length: usize) -> &'m mut S {
        let free = self.free.take().expect("an arena always holds what is left");
        let padded = length.next_multiple_of(ALIGNMENT);
        // Runs of ended scopes lie between this arena's last run and its next.
        let start = self.kept.map_or(self.taken, Cell::get);
        let skipped = start - self.taken;
        let left = free.len().saturating_sub(skipped);
        assert!(padded <= left, "arena: {padded} floats wanted, {left} left");
        let (run, rest) = free.split_at_mut(skipped + padded);
        self.free = Some(rest);
        self.taken = start + padded;
        if let Some(peak) = self.peak {
            peak.set(peak.get().max(self.taken));
        }
        run.range_mut(skipped..skipped + length)
    }

    /// A child over the rest of the memory; dropping it frees its runs, unless they are kept.
    pub fn scope(&mut self) -> Arena<'_, S> {
        let Self { taken, peak, kept, segment_end, .. } = *self;
        Arena { free: self.free.as_deref_mut(), taken, peak, kept, segment_end }
    }

    /// A child for one of several like stretches of work: a scope, but that its runs are kept until it is
    /// dropped, and no longer, in an arena in turns. Also where its runs begin, if so.
    pub fn segment(&mut self) -> (Arena<'_, S>, Option<usize>) {
        let mut segment = self.scope();
        let start = segment.segment_end.zip(segment.kept).map(|(segment_end, kept)| {
            segment_end.set(kept.get());
            (segment.kept, segment.segment_end) = (Some(segment_end), None);
            kept.get()
        });
        (segment, start)
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
    fn peak_counts_the_deepest_scope() {
        let (mut memory, peak) = ([0.0_f32; 256], Cell::new(0));
        let mut arena = Arena::measured(&mut memory[..], &peak);
        arena.take(16);
        arena.scope().take(64);
        arena.scope().take(32);
        arena.take(1);
        assert_eq!(peak.get(), 80);
    }

    #[test]
    fn memory_that_is_kept_is_never_given_again() {
        let (mut memory, kept, peak) = ([0.0_f32; 256], Cell::new(0), Cell::new(0));
        let mut arena = Arena::keeping(&mut memory[..], &kept).measuring(&peak);
        arena.take(16).fill(1.0);
        {
            let mut scope = arena.scope();
            scope.take(20).fill(2.0);
            scope.scope().into_scratch(64).fill(9.0);
        }
        let spent = arena.take(16);
        spent.fill(3.0);
        arena.instead_of(spent, 8).fill(4.0);
        assert_eq!((kept.get(), peak.get()), (16 + 32 + 16 + 16, 16 + 32 + 64));
        assert_eq!([0, 16, 48, 64].map(|at| memory[at]), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn turns_share_memory_and_keep_what_is_theirs() {
        let (mut memory, kept, segment_end, peak) =
            ([0.0_f32; 256], Cell::new(0), Cell::new(0), Cell::new(0));
        let arena = Arena::keeping(&mut memory[..], &kept).in_segments(&segment_end);
        let mut arena = arena.measuring(&peak);
        arena.take(16).fill(1.0);
        for segment in [2.0, 3.0] {
            let out = arena.take(16);
            let (mut child, start) = arena.segment();
            assert_eq!(start, Some(if segment == 2.0 { 32 } else { 48 }));
            child.scope().take(16).fill(segment);
            let second = child.take(16);
            second.fill(10.0 * segment);
            out.fill(second[0]);
        }
        arena.take(16).fill(9.0);
        assert_eq!((kept.get(), peak.get()), (64, 80));
        // Two outputs, then the run after the turns, over the last turn's first.
        assert_eq!([0, 16, 32, 48, 64].map(|at| memory[at]), [1.0, 20.0, 30.0, 9.0, 30.0]);
    }

    #[test]
    fn arena_without_turns_is_a_scope() {
        let (mut memory, kept) = ([0.0_f32; 64], Cell::new(0));
        let mut arena = Arena::keeping(&mut memory[..], &kept);
        let (mut segment, start) = arena.segment();
        segment.take(16);
        assert_eq!((start, kept.get()), (None, 16));
    }

    #[test]
    fn memory_that_served_serves_again_unless_kept() {
        let mut memory = [0.0_f32; 64];
        let mut arena = Arena::new(&mut memory[..]);
        let spent = arena.take(32);
        let start = spent.as_ptr();
        assert_eq!(arena.instead_of(spent, 8).as_ptr(), start);
    }

    #[test]
    #[should_panic(expected = "arena: 32 floats wanted, 16 left")]
    fn arena_too_small_says_both_numbers() {
        Arena::new(&mut [0.0_f32; 16][..]).take(17);
    }
}
