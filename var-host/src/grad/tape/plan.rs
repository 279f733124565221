//! Where the gradients of values lie during a backward pass.
//!
//! The gradient of a value is wanted from the last operation that read it, which comes first on the way
//! back, to the one that wrote it. So gradients take turns in a memory that is much smaller than the
//! values'. Where each lies is planned before; a dry run's tape plans the same.

use core::ops::Range;

use var_kernel::arena::ALIGNMENT;
use var_kernel::memory::Floats;

use super::segment::Segment;
use crate::grad::span::{Region, Span};
use crate::grad::sums::Sums;

/// Places of the gradients of values.
#[derive(Debug)]
pub struct GradientPlan {
    /// By turn and by where they lie among the values.
    pieces: Vec<LiveRange>,
    segments: Vec<Segment>,
    /// Gradients by the step of the backward pass that first needs them.
    begins: Vec<(usize, Range<usize>)>,
    /// The moment before the backward pass.
    before: usize,
    /// Values before this place are data.
    data: usize,
    floats: usize,
}

/// Values that operations read or wrote together, in parts or whole: their gradients lie together.
///
/// Moments count down in a backward pass: operation `n` has its gradients computed at moment `n + 1`.
#[derive(Clone, Debug)]
struct LiveRange {
    /// The number of the turn that gives it away.
    segment: Option<usize>,
    /// Where it lies among the values.
    values: Range<usize>,
    /// The moment at which its gradient is first wanted.
    first: usize,
    /// The moment at which it is last wanted; 0 if also after the backward pass.
    last: usize,
    /// Where its gradient lies.
    place: usize,
}

impl LiveRange {
    /// Where the cache line begins that it begins in: gradients lie as values do in theirs.
    fn start(&self) -> usize {
        self.values.start / ALIGNMENT * ALIGNMENT
    }

    /// Floats that its gradient takes.
    fn floats(&self) -> usize {
        self.values.end.next_multiple_of(ALIGNMENT) - self.start()
    }
}

impl GradientPlan {
    /// As [`Tape::plan`](super::Tape::plan), of the spans that each operation of a tape reads or writes, and its
    /// segments.
    pub(super) fn new(
        operations: &[Vec<Span>],
        segments: &[Segment],
        data: usize,
        given: &[Span],
        wanted: &[Span],
    ) -> Self {
        let before = operations.len() + 1;
        let mut pieces = Vec::new();
        let mut touch = |span: &Span, moment: usize| {
            if span.region == Region::Values && span.start >= data && span.length > 0 {
                let segment = segment_of(segments, *span, moment);
                let values = span.start..span.end();
                pieces.push(LiveRange { segment, values, first: moment, last: moment, place: 0 });
            }
        };
        given.iter().for_each(|span| touch(span, before));
        wanted.iter().for_each(|span| touch(span, 0));
        for (number, spans) in operations.iter().enumerate() {
            spans.iter().for_each(|span| touch(span, number + 1));
        }
        let mut pieces = joined(pieces);
        let floats = place(&mut pieces);
        let mut begins: Vec<_> = pieces
            .iter()
            .map(|piece| (piece.first, piece.place..piece.place + piece.floats()))
            .collect();
        begins.sort_by_key(|(moment, range)| (before - moment, range.start));
        begins.dedup_by(|next, range| {
            let touch = next.0 == range.0 && next.1.start == range.1.end;
            if touch {
                range.1.end = next.1.end;
            }
            touch
        });
        Self { pieces, segments: segments.to_vec(), begins, before, data, floats }
    }

    /// Floats of memory that all gradients of values take.
    pub fn floats(&self) -> usize {
        self.floats
    }

    /// Where the gradient of `span` lies before the backward pass, if it is given, and after it, if it
    /// is wanted.
    ///
    /// # Panics
    /// If it is neither.
    #[track_caller]
    pub fn of(&self, span: Span) -> Span {
        self.at(self.before, span)
    }

    /// Sets the gradients to 0 that are given before the backward pass.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If there are fewer than [`GradientPlan::floats`].
    pub fn begin<B: Sums>(&self, b: &B, gradients: &mut B::Slice) -> Result<(), B::Error> {
        self.begin_at(b, self.before, gradients)
    }

    /// Sets the gradients to 0 that are wanted from the operation `number` on.
    pub(super) fn begin_of<B: Sums>(
        &self,
        b: &B,
        number: usize,
        gradients: &mut B::Slice,
    ) -> Result<(), B::Error> {
        self.begin_at(b, number + 1, gradients)
    }

    fn begin_at<B: Sums>(
        &self,
        b: &B,
        moment: usize,
        gradients: &mut B::Slice,
    ) -> Result<(), B::Error> {
        let start = self.begins.partition_point(|(begins, _)| *begins > moment);
        let these = self.begins[start..].iter().take_while(|(begins, _)| *begins == moment);
        for (_, range) in these {
            b.fill(gradients.range_mut(range.clone()), 0.0)?;
        }
        Ok(())
    }

    /// Whether the gradient of values is wanted.
    pub(crate) fn wants(&self, span: Span) -> bool {
        span.start >= self.data
    }

    /// Where the gradient of `span` lies when operation `number` has its gradients computed.
    #[track_caller]
    pub(crate) fn of_node(&self, number: usize, span: Span) -> Span {
        self.at(number + 1, span)
    }

    #[track_caller]
    fn at(&self, moment: usize, span: Span) -> Span {
        if span.length == 0 {
            return Span { start: 0, ..span };
        }
        let segment = segment_of(&self.segments, span, moment);
        let key = (segment, span.start);
        let after = self.pieces.partition_point(|piece| (piece.segment, piece.values.start) <= key);
        let piece = after.checked_sub(1).map(|number| &self.pieces[number]);
        let piece =
            piece.filter(|piece| piece.segment == segment && span.end() <= piece.values.end);
        let Some(piece) = piece else { panic!("no gradient of {span:?} is wanted") };
        Span { start: piece.place + (span.start - piece.start()), ..span }
    }
}

/// The number of the segment that frees the value at `span` at a moment.
fn segment_of(segments: &[Segment], span: Span, moment: usize) -> Option<usize> {
    let inside = |segment: &Segment| segment.nodes.start < moment && moment <= segment.nodes.end;
    segments.iter().position(|segment| inside(segment) && segment.frees(&span))
}

/// The same, those that overlap as one; sorted.
fn joined(mut pieces: Vec<LiveRange>) -> Vec<LiveRange> {
    pieces.sort_by_key(|piece| (piece.segment, piece.values.start));
    pieces.dedup_by(|next, piece| {
        let overlap = next.segment == piece.segment && next.values.start < piece.values.end;
        if overlap {
            piece.values.end = piece.values.end.max(next.values.end);
            (piece.first, piece.last) = (piece.first.max(next.first), piece.last.min(next.last));
        }
        overlap
    });
    pieces
}

/// Gives each piece the first place that is free as long as it is wanted; returns how many floats they
/// take together.
fn place(pieces: &mut [LiveRange]) -> usize {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    // At one moment the largest first: small ones fit between.
    order.sort_by_key(|number| {
        let piece = &pieces[*number];
        core::cmp::Reverse((piece.first, piece.floats()))
    });
    // Live gradients: until when, and where; by place.
    let mut taken: Vec<(usize, Range<usize>)> = Vec::new();
    let mut floats = 0;
    for number in order {
        let piece = &mut pieces[number];
        taken.retain(|(last, _)| *last <= piece.first);
        let (mut start, mut index) = (0, 0);
        for (_, range) in &taken {
            if range.start >= start + piece.floats() {
                break;
            }
            (start, index) = (range.end, index + 1);
        }
        piece.place = start;
        let range = start..start + piece.floats();
        floats = floats.max(range.end);
        taken.insert(index, (piece.last, range));
    }
    floats
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use var_kernel::ops::elementwise::Unary;

    use super::*;
    use crate::grad::elementwise;
    use crate::grad::operations::Node;
    use crate::grad::tape::Tape;

    fn span(range: Range<usize>) -> Span {
        Span { region: Region::Values, start: range.start, length: range.len() }
    }

    fn silu(x: Range<usize>, out: Range<usize>) -> Node {
        elementwise::node::Node::Map { out: span(out), x: span(x), f: Unary::Silu }.into()
    }

    fn tape(nodes: Vec<Node>) -> Tape {
        Tape { nodes, segments: Vec::new() }
    }

    #[test]
    fn gradients_lie_over_those_that_are_no_longer_wanted() {
        // Data, then four runs in a row, each made of the one before.
        let runs = [0..16, 16..48, 48..80, 80..112, 112..144];
        let nodes = runs.windows(2).map(|pair| silu(pair[0].clone(), pair[1].clone())).collect();
        let plan = tape(nodes).plan(16, &[span(112..144)], &[]);
        let places =
            [(3, 112..144), (3, 80..112), (2, 80..112), (2, 48..80), (1, 48..80), (1, 16..48)];
        let places = places.map(|(number, range)| plan.of_node(number, span(range)).start);
        assert_eq!((places, plan.floats()), ([0, 32, 32, 0, 0, 32], 64));
        assert!(!plan.wants(span(0..16)));
    }

    #[test]
    fn gradients_wanted_after_lie_over_nothing() {
        let nodes = vec![silu(0..32, 32..64), silu(32..64, 64..96)];
        let plan = tape(nodes).plan(0, &[span(64..96)], &[span(0..32), span(64..96)]);
        assert_eq!([0..32, 64..96].map(|range| plan.of(span(range)).start), [64, 0]);
        assert_eq!(plan.floats(), 96);
    }

    #[test]
    fn parts_of_one_run_stay_together() {
        // Two fill a run that one reads whole, and one reads a part of it.
        let nodes = vec![
            silu(0..16, 16..40),
            silu(0..16, 40..64),
            silu(16..64, 64..112),
            silu(24..28, 112..116),
        ];
        let plan = tape(nodes).plan(16, &[span(64..112), span(112..116)], &[]);
        let whole = plan.of_node(2, span(16..64)).start;
        assert_eq!(plan.of_node(1, span(40..64)).start, whole + 24);
        assert_eq!(plan.of_node(3, span(24..28)).start, whole + 8);
        assert_eq!(plan.floats(), 48 + 48 + 16);
    }

    #[test]
    fn turns_of_a_tape_have_places_of_their_own() {
        // Two segments from offset 32 on; the second reads the output of the first.
        let nodes = vec![
            silu(0..16, 32..64),
            silu(32..64, 16..32),
            silu(16..32, 48..64),
            silu(48..64, 32..48),
        ];
        let segments = vec![Segment { nodes: 0..2, start: 32 }, Segment { nodes: 2..4, start: 48 }];
        let plan = Tape { nodes, segments }.plan(0, &[span(32..48)], &[]);
        // The whole of 32..64 in the first turn; in the second 32..48 stays and 48..64 goes.
        let places = [(3, 32..48), (3, 48..64), (1, 32..64)];
        let places = places.map(|(number, range)| plan.of_node(number, span(range)).start);
        assert_eq!((places, plan.floats()), ([0, 16, 16], 48));
    }

    #[test]
    #[should_panic(expected = "no gradient of")]
    fn values_that_were_not_read_have_no_gradient() {
        tape(vec![silu(0..16, 16..32)]).plan(0, &[], &[]).of_node(0, span(16..33));
    }

    proptest! {
        #[test]
        fn gradients_wanted_together_lie_apart(
            pieces in prop::collection::vec((0_usize..100, 1_usize..60, 0_usize..30, 0_usize..30), 1..60),
        ) {
            let mut pieces: Vec<LiveRange> = pieces
                .into_iter()
                .map(|(start, length, a, b)| LiveRange {
                    segment: None,
                    values: start..start + length,
                    first: a.max(b),
                    last: a.min(b),
                    place: usize::MAX,
                })
                .collect();
            let floats = place(&mut pieces);
            for (number, a) in pieces.iter().enumerate() {
                prop_assert!(a.place + a.floats() <= floats);
                prop_assert_eq!(a.place % ALIGNMENT, 0);
                for b in &pieces[..number] {
                    let together = a.first >= b.last && b.first >= a.last;
                    let apart = a.place + a.floats() <= b.place || b.place + b.floats() <= a.place;
                    prop_assert!(!together || apart, "{:?} {:?}", a, b);
                }
            }
        }
    }
}
