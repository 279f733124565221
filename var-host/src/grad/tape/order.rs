//! An order of operations that completes gradients of weights early in the backward pass.
//!
//! A model projects the AdaLN parameters of all blocks beforehand, and each block reads its own: once a
//! block's gradients are complete, so can be those of its projection.

use core::ops::Range;

use super::Tape;
use super::operation::Spans;
use super::segment::Segment;
use crate::grad::operations::Node;
use crate::grad::span::{Region, Span};

/// An operation, or all of a turn, which stay together.
struct Unit {
    nodes: Range<usize>,
    segment: Option<Segment>,
    /// The numbers of the runs that they read or write.
    runs: Vec<usize>,
}

impl Tape {
    /// Moves operations right before the first reader of their output. Gradients are the same to the bit:
    /// each is accumulated in the same order.
    pub(in crate::grad) fn reordered(self) -> Self {
        let mut units = self.units();
        let runs = number_runs(&mut units, &self.nodes);
        // Of each run the first unit in the new order that reads or writes it, so far.
        let mut first: Vec<Option<usize>> = vec![None; runs];
        // Last to first, so that insertions are at the end or close to it.
        let mut order: Vec<usize> = Vec::with_capacity(units.len());
        for number in (0..units.len()).rev() {
            let runs = &units[number].runs;
            let before = |other: &usize| runs.iter().any(|run| first[*run] == Some(*other));
            // An output without a reader stays in place.
            let place = order.iter().rposition(before).map_or(order.len(), |place| place + 1);
            order.insert(place, number);
            runs.iter().for_each(|run| first[*run] = Some(number));
        }
        let mut nodes: Vec<Option<Node>> = self.nodes.into_iter().map(Some).collect();
        let mut tape = Self::default();
        for number in order.into_iter().rev() {
            let unit = &units[number];
            let start = tape.nodes.len();
            tape.nodes.extend(nodes[unit.nodes.clone()].iter_mut().filter_map(Option::take));
            let nodes = start..tape.nodes.len();
            tape.segments.extend(
                unit.segment.as_ref().map(|segment| Segment { nodes, start: segment.start }),
            );
        }
        tape
    }

    fn units(&self) -> Vec<Unit> {
        let (mut units, mut next) = (Vec::new(), 0);
        while next < self.nodes.len() {
            let segment = self.segments.iter().find(|segment| segment.nodes.start == next);
            let segment = segment.filter(|segment| !segment.nodes.is_empty()).cloned();
            let nodes = segment.as_ref().map_or(next..next + 1, |segment| segment.nodes.clone());
            next = nodes.end;
            units.push(Unit { nodes, segment, runs: Vec::new() });
        }
        units
    }
}

/// Numbers the runs that units read or write, those that overlap as one; returns how many there are.
fn number_runs(units: &mut [Unit], nodes: &[Node]) -> usize {
    let mut spans: Vec<(Span, usize)> = Vec::new();
    for (number, unit) in units.iter().enumerate() {
        let of_unit = nodes[unit.nodes.clone()].iter();
        let of_unit = of_unit.flat_map(|node| [node.written(), &node.inputs()].concat());
        // Freed results of a segment have no reader outside of it.
        let others = |span: &Span| unit.segment.as_ref().is_none_or(|segment| !segment.frees(span));
        spans.extend(of_unit.filter(others).map(|span| (span, number)));
    }
    spans.retain(|(span, _)| span.length > 0);
    spans.sort_by_key(|(span, _)| (span.region == Region::Weights, span.start));
    let (mut runs, mut end, mut region) = (0, 0, Region::Values);
    for (span, unit) in spans {
        if runs == 0 || span.region != region || span.start >= end {
            (runs, end, region) = (runs + 1, span.end(), span.region);
        }
        end = end.max(span.end());
        units[unit].runs.push(runs - 1);
    }
    runs
}

#[cfg(test)]
mod tests {
    use var_kernel::ops::elementwise::Unary;

    use super::*;
    use crate::grad::elementwise;

    fn span(range: Range<usize>) -> Span {
        Span { region: Region::Values, start: range.start, length: range.len() }
    }

    fn silu(x: usize, out: usize) -> Node {
        let (out, x) = (span(out..out + 4), span(x..x + 4));
        elementwise::node::Node::Map { out, x, f: Unary::Silu }.into()
    }

    /// `out = x + weights`
    fn shifted(x: usize, weights: usize, out: usize) -> Node {
        let table = Span { region: Region::Weights, start: weights, length: 4 };
        let (out, x) = (span(out..out + 4), span(x..x + 4));
        elementwise::node::Node::AddTable { out, x, table }.into()
    }

    fn sum(a: usize, b: usize, out: usize) -> Node {
        let operands = vec![(span(a..a + 4), 1.0), (span(b..b + 4), 1.0)];
        elementwise::node::Node::Blend { out: span(out..out + 4), operands }.into()
    }

    fn outs(tape: &Tape) -> Vec<usize> {
        tape.nodes.iter().map(|node| node.written()[0].start).collect()
    }

    #[test]
    fn operations_for_all_blocks_move_to_each() {
        // Three tables of one input, then three blocks that read one each.
        let tables = [10, 20, 30].map(|out| shifted(0, out, out));
        let blocks = [sum(70, 10, 40), sum(40, 20, 50), sum(50, 30, 60)];
        let tape = Tape { nodes: [&tables[..], &blocks[..]].concat(), segments: Vec::new() };
        assert_eq!(outs(&tape.reordered()), [10, 40, 20, 50, 30, 60]);
    }

    #[test]
    fn operations_that_add_to_one_gradient_keep_their_order() {
        // The first two read one weight; the first is read later than the second.
        let nodes = vec![shifted(0, 7, 10), shifted(0, 7, 20), silu(20, 30), silu(10, 40)];
        let tape = Tape { nodes, segments: Vec::new() };
        assert_eq!(outs(&tape.reordered()), [10, 20, 30, 40]);
    }

    #[test]
    fn turn_stays_whole() {
        // A table for each of two turns, which write from place 100 on and leave one run each.
        let nodes = vec![
            shifted(0, 10, 10),
            shifted(0, 20, 20),
            sum(70, 10, 100),
            silu(100, 40),
            sum(40, 20, 100),
            silu(100, 50),
        ];
        let segments =
            vec![Segment { nodes: 2..4, start: 100 }, Segment { nodes: 4..6, start: 100 }];
        let tape = Tape { nodes, segments }.reordered();
        assert_eq!(outs(&tape), [10, 100, 40, 20, 100, 50]);
        let segments: Vec<_> = tape.segments.iter().map(|segment| segment.nodes.clone()).collect();
        assert_eq!(segments, [1..3, 4..6]);
    }
}
