//! The tape of a forward pass, and the backward pass.
//!
//! | file | holds |
//! |---|---|
//! | `operation` | one operation: its inputs, outputs, gradients and recomputation |
//! | `order` | operations so that gradients of weights are complete early |
//! | `plan` | where the gradients of values lie |
//! | `segment` | an activation-checkpoint segment |
//! | `recompute` | memory around the outputs of an operation that is computed once more |

pub(super) mod operation;
mod order;
mod plan;
pub(super) mod recompute;
mod segment;

use core::ops::Range;

use var_kernel::memory::Floats;

use self::operation::{Operation, Spans};
use super::memory::{Memory, NodeContext};
use super::operations::{Node, TrainBackend};
use super::span::{Region, Span};
pub use plan::GradientPlan;
use segment::Segment;

/// The operations of a forward pass, in their order.
#[derive(Debug, Default)]
pub struct Tape {
    pub(super) nodes: Vec<Node>,
    segments: Vec<Segment>,
}

impl Tape {
    pub(super) fn begin_segment(&mut self, start: usize) {
        let next = self.nodes.len();
        self.segments.push(Segment { nodes: next..next, start });
    }

    /// # Panics
    /// If none has begun.
    pub(super) fn end_segment(&mut self) {
        let next = self.nodes.len();
        self.segments.last_mut().expect("a turn has begun").nodes.end = next;
    }

    /// Refuses a forward pass that wrote over a result that was not freed.
    pub(super) fn check(&self) {
        let freed = |number: usize, out: &Span| {
            let segment = self.segments.iter().find(|segment| segment.nodes.contains(&number));
            segment.is_some_and(|segment| segment.frees(out))
        };
        let kept = self.nodes.iter().enumerate();
        let kept = kept.flat_map(|(number, node)| node.outs().iter().map(move |out| (number, out)));
        check_apart(kept.filter(|(number, out)| !freed(*number, out)).map(|(_, out)| *out));
        for segment in &self.segments {
            check_apart(self.nodes[segment.nodes.clone()].iter().flat_map(Spans::outs).copied());
        }
    }

    /// Plans where gradients lie. Those of `given` are written before the backward pass, those of
    /// `wanted` are read after it. Values before the place `data` are data: no gradient is wanted for
    /// them.
    pub fn plan(&self, data: usize, given: &[Span], wanted: &[Span]) -> GradientPlan {
        let spans = |node: &Node| [node.written(), &node.inputs()].concat();
        let operations: Vec<_> = self.nodes.iter().map(spans).collect();
        GradientPlan::new(&operations, &self.segments, data, given, wanted)
    }

    /// Floats of scratch memory that [`Tape::backward`] wants.
    pub fn scratch<B: TrainBackend>(&self, b: &B) -> usize {
        self.nodes.iter().map(|node| node.scratch(b)).max().unwrap_or(0)
    }

    /// Adds to `into` the gradient of the weight of the convolution that wrote `out`, alone, if that of
    /// `out` were `dout`.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If no convolution wrote `out`, or a slice is of another length.
    pub(crate) fn convolution_weight_gradient<B: TrainBackend>(
        &self,
        b: &B,
        out: Span,
        values: &B::Slice,
        dout: &B::Slice,
        into: &mut B::Slice,
        scratch: &mut B::Slice,
    ) -> Result<(), B::Error> {
        let of = |node: &Node| match node {
            Node::Conv2d(node) if node.out == out => Some((node.x, node.d)),
            _ => None,
        };
        let (x, d) = self.nodes.iter().find_map(of).expect("a convolution wrote it");
        b.conv2d_backward_weight(into, dout, x.of(values), scratch, d)
    }

    /// The backward pass: accumulates gradients from the outputs with a gradient set, last operation
    /// first.
    ///
    /// Before, the gradients of values are begun ([`GradientPlan::begin`]) and those of the outputs set;
    /// those of weights are added to.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If the memory is not the one the tape was recorded over.
    pub fn backward<B: TrainBackend>(
        &self,
        b: &B,
        memory: &mut Memory<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        self.backward_over(b, memory, 0..self.nodes.len())
    }

    /// How many operations there are.
    pub fn operations(&self) -> usize {
        self.nodes.len()
    }

    /// The runs of weights that operations read, each with the operation's number.
    pub fn reads_of_weights(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        let of_node = |(number, node): (usize, &Node)| {
            let weights = node.inputs().into_iter().filter(|span| span.region == Region::Weights);
            weights.map(move |span| (span.start..span.end(), number))
        };
        self.nodes.iter().enumerate().flat_map(of_node)
    }

    /// The part of [`Tape::backward`] that is the gradients of some operations: stretches that follow
    /// each other, the last operations first, come to the same.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// As [`Tape::backward`].
    pub fn backward_over<B: TrainBackend>(
        &self,
        b: &B,
        memory: &mut Memory<'_, B::Slice>,
        operations: Range<usize>,
    ) -> Result<(), B::Error> {
        let (wanted, has) = (memory.plan.floats(), memory.value_gradients.len());
        assert!(has >= wanted, "tape: {wanted} gradients of values wanted, room for {has}");
        let wanted = self.scratch(b);
        assert!(memory.scratch.len() >= wanted, "tape: {wanted} floats of scratch memory wanted");
        for number in operations.rev() {
            if let Some(segment) =
                self.segments.iter().find(|segment| segment.nodes.end == number + 1)
            {
                self.restore(b, segment, memory)?;
            }
            memory.plan.begin_of(b, number, memory.value_gradients)?;
            self.nodes[number].backward(b, &mut NodeContext { memory, number })?;
        }
        Ok(())
    }

    /// Recomputes the freed results of a segment.
    fn restore<B: TrainBackend>(
        &self,
        b: &B,
        segment: &Segment,
        memory: &mut Memory<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        for node in &self.nodes[segment.nodes.clone()] {
            if node.outs().iter().any(|out| segment.frees(out)) {
                node.recompute(b, memory.values, memory.weights)?;
            }
        }
        Ok(())
    }
}

/// Refuses spans that overlap.
fn check_apart(spans: impl Iterator<Item = Span>) {
    let mut spans = Vec::from_iter(spans);
    spans.sort_by_key(|span| span.start);
    for pair in spans.windows(2) {
        let [first, second] = pair else { unreachable!("windows of two") };
        assert!(first.end() <= second.start, "{second:?} was written over {first:?}");
    }
}
