//! Which numbers an operation read or wrote, as places in one of two regions.

use var_kernel::memory::Floats;

/// One of the two pieces of memory with gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// Values of the forward pass: its arena.
    Values,
    /// Trained weights, concatenated.
    Weights,
}

/// A run of numbers in a region. A weight's gradient lies at the same place among those of the weights; a
/// value's where a [`GradientPlan`](super::GradientPlan) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it lies.
    pub region: Region,
    /// Its first number.
    pub start: usize,
    /// How many.
    pub length: usize,
}

impl Span {
    /// One past its last number.
    pub fn end(self) -> usize {
        self.start + self.length
    }

    /// The numbers in `memory`, which is its region's.
    pub fn of<S: Floats + ?Sized>(self, memory: &S) -> &S {
        memory.range(self.start..self.end())
    }

    /// The numbers in `memory`, to write.
    pub fn of_mut<S: Floats + ?Sized>(self, memory: &mut S) -> &mut S {
        memory.range_mut(self.start..self.end())
    }
}

/// Views of several spans of one region's memory at once, in the order asked for.
///
/// # Panics
/// If two of them overlap.
pub(super) fn disjoint<'m, S: Floats + ?Sized, const N: usize>(
    memory: &'m mut S,
    spans: [Span; N],
) -> [&'m mut S; N] {
    let mut order: [usize; N] = core::array::from_fn(|i| i);
    // Empty ones first: they overlap nothing.
    order.sort_by_key(|i| (spans[*i].start, spans[*i].length));
    let mut views: [Option<&'m mut S>; N] = [const { None }; N];
    let (mut rest, mut taken) = (memory, 0);
    for i in order {
        let span = spans[i];
        assert!(span.start >= taken, "the gradients of {spans:?} overlap");
        let (_, from) = rest.split_at_mut(span.start - taken);
        let (view, after) = from.split_at_mut(span.length);
        views[i] = Some(view);
        (rest, taken) = (after, span.end());
    }
    views.map(|view| view.expect("every span has its view"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: usize, length: usize) -> Span {
        Span { region: Region::Values, start, length }
    }

    #[test]
    fn views_come_in_the_order_asked_for() {
        let mut memory = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0_f32];
        let [a, b] = disjoint(&mut memory[..], [span(4, 2), span(1, 2)]);
        assert_eq!((&*a, &*b), (&[4.0, 5.0][..], &[1.0, 2.0][..]));
    }

    #[test]
    fn empty_view_overlaps_nothing() {
        let mut memory = [0.0, 1.0, 2.0_f32];
        let [a, b] = disjoint(&mut memory[..], [span(0, 2), span(0, 0)]);
        assert_eq!((a.len(), b.len()), (2, 0));
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn overlapping_views_are_refused() {
        disjoint(&mut [0.0_f32; 4][..], [span(0, 2), span(1, 2)]);
    }
}
