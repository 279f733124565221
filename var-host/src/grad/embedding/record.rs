//! Embedding, recorded.

use var_kernel::ops::embedding::Embedding;

use super::node::Node;
use crate::grad::backend::Recordable;
use crate::grad::recording::Recording;

impl<B: Recordable> Embedding for Recording<'_, B> {
    fn embedding(
        &self,
        out: &mut B::Slice,
        table: &B::Slice,
        indices: &[u32],
        width: usize,
    ) -> Result<(), B::Error> {
        let (out_span, table_span) = (self.span(out), self.span(table));
        let indices_of_tape = indices.to_vec();
        self.push(Node { out: out_span, table: table_span, indices: indices_of_tape, width });
        self.backend.embedding(out, table, indices, width)
    }

    fn lookup_codes(
        &self,
        out: &mut B::Slice,
        codebook: &B::Slice,
        tokens: &B::Tokens,
        width: usize,
    ) -> Result<(), B::Error> {
        // No gradient passes through a choice.
        self.backend.lookup_codes(out, codebook, tokens, width)
    }

    fn force_tokens(
        &self,
        tokens: &mut B::Tokens,
        forced: &[u32],
        positions: &[bool],
    ) -> Result<(), B::Error> {
        self.backend.force_tokens(tokens, forced, positions)
    }
}
