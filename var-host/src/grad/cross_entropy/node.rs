//! Cross-entropy on the tape.

use super::CrossEntropyBackward;
use crate::grad::memory::{Gradients, NodeContext};
use crate::grad::span::Span;
use crate::grad::tape::operation::{Operation, Spans};

/// Cross-entropy.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) out: Span,
    pub(crate) logits: Span,
    pub(crate) targets: Vec<u32>,
    pub(crate) smoothing: f32,
}

impl Spans for Node {
    fn outs(&self) -> &[Span] {
        core::slice::from_ref(&self.out)
    }

    fn inputs(&self) -> Vec<Span> {
        vec![self.logits]
    }
}

impl<B: CrossEntropyBackward> Operation<B> for Node {
    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error> {
        let Self { out, logits, ref targets, smoothing } = *self;
        match m.gradients([logits], out) {
            Some(Gradients { out, inputs: [dlogits], read, .. }) => {
                let logits = read.of(logits);
                b.cross_entropy_backward(dlogits, out, logits, targets, smoothing)
            }
            None => Ok(()),
        }
    }
}
