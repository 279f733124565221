//! Embedding on the tape.

use super::EmbeddingBackward;
use crate::grad::memory::{Gradients, NodeContext};
use crate::grad::span::Span;
use crate::grad::tape::operation::{Operation, Spans};

/// Rows of a table by index.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) out: Span,
    pub(crate) table: Span,
    pub(crate) indices: Vec<u32>,
    pub(crate) width: usize,
}

impl Spans for Node {
    fn outs(&self) -> &[Span] {
        core::slice::from_ref(&self.out)
    }

    fn inputs(&self) -> Vec<Span> {
        vec![self.table]
    }
}

impl<B: EmbeddingBackward> Operation<B> for Node {
    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error> {
        let Self { out, table, ref indices, width } = *self;
        match m.gradients([table], out) {
            Some(Gradients { out, inputs: [dtable], .. }) => {
                b.embedding_backward(dtable, out, indices, width)
            }
            None => Ok(()),
        }
    }
}
