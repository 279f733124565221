//! Attention, recorded.

use var_kernel::ops::attention::{Attention, Dims, Mask};

use super::node::Node;
use crate::grad::backend::Recordable;
use crate::grad::recording::Recording;

impl<B: Recordable> Attention for Recording<'_, B> {
    fn attention(
        &self,
        out: &mut B::Slice,
        q: &B::Slice,
        k: &B::Slice,
        v: &B::Slice,
        scale: f32,
        mask: Mask<'_>,
        d: Dims,
    ) -> Result<(), B::Error> {
        let ends = match mask {
            Mask::None => None,
            Mask::UpToScale(ends) => Some(ends.to_vec()),
        };
        let operands = [self.span(q), self.span(k), self.span(v)];
        self.push(Node { out: self.span(out), operands, scale, ends, d });
        self.backend.attention(out, q, k, v, scale, mask, d)
    }
}
