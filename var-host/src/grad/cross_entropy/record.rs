//! Cross-entropy, recorded.

use var_kernel::ops::cross_entropy::CrossEntropy;

use super::node::Node;
use crate::grad::backend::Recordable;
use crate::grad::recording::Recording;

impl<B: Recordable> CrossEntropy for Recording<'_, B> {
    fn cross_entropy(
        &self,
        out: &mut B::Slice,
        logits: &B::Slice,
        targets: &[u32],
        smoothing: f32,
    ) -> Result<(), B::Error> {
        let (out_span, logits_span) = (self.span(out), self.span(logits));
        let targets_of_tape = targets.to_vec();
        self.push(Node { out: out_span, logits: logits_span, targets: targets_of_tape, smoothing });
        self.backend.cross_entropy(out, logits, targets, smoothing)
    }

    fn most_likely(&self, tokens: &mut B::Tokens, logits: &B::Slice) -> Result<(), B::Error> {
        self.backend.most_likely(tokens, logits)
    }
}
