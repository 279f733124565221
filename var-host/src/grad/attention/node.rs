//! Attention on the tape.

use var_kernel::ops::attention::{Dims, Mask};

use super::AttentionBackward;
use crate::grad::memory::NodeContext;
use crate::grad::span::Span;
use crate::grad::tape::operation::{Operation, Spans};
use crate::grad::tape::recompute::apart;

/// Attention.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) out: Span,
    pub(crate) operands: [Span; 3],
    pub(crate) scale: f32,
    /// Ends of the scales of [`Mask::UpToScale`].
    pub(crate) ends: Option<Vec<usize>>,
    pub(crate) d: Dims,
}

impl Spans for Node {
    fn outs(&self) -> &[Span] {
        core::slice::from_ref(&self.out)
    }

    fn inputs(&self) -> Vec<Span> {
        self.operands.to_vec()
    }
}

impl<B: AttentionBackward> Operation<B> for Node {
    fn scratch(&self, b: &B) -> usize {
        b.attention_backward_scratch(self.d)
    }

    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error> {
        let Self { out, operands, scale, ref ends, d } = *self;
        let Some(g) = m.gradients(operands, out) else { return Ok(()) };
        let [q, k, v] = operands.map(|operand| g.read.of(operand));
        let mask = ends.as_ref().map_or(Mask::None, |ends| Mask::UpToScale(ends));
        b.attention_backward(g.inputs, g.out, q, k, v, scale, mask, g.scratch, d)
    }

    fn recompute(&self, b: &B, values: &mut B::Slice, weights: &B::Slice) -> Result<(), B::Error> {
        let Self { out, operands, scale, ref ends, d } = *self;
        let (out, read) = apart(values, weights, out);
        let [q, k, v] = operands.map(|operand| read.of(operand));
        let mask = ends.as_ref().map_or(Mask::None, |ends| Mask::UpToScale(ends));
        b.attention(out, q, k, v, scale, mask, d)
    }
}
