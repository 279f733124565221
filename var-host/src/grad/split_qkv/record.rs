//! Step between the q·k·v product and attention, recorded.

use var_kernel::ops::split_qkv::{Dims, Normalization, SplitQkv};

use super::node::Node;
use crate::grad::backend::Recordable;
use crate::grad::recording::Recording;

impl<B: Recordable> SplitQkv for Recording<'_, B> {
    fn split_qkv(
        &self,
        q: &mut B::Slice,
        k: &mut B::Slice,
        v: &mut B::Slice,
        qkv: &B::Slice,
        biases: Option<[&B::Slice; 2]>,
        normalization: Normalization<'_, B::Slice>,
        d: Dims,
    ) -> Result<(), B::Error> {
        let scale = match normalization {
            Normalization::None => None,
            Normalization::UnitLength { scale } => Some(self.span(scale)),
        };
        self.push(Node {
            outs: [self.span(q), self.span(k), self.span(v)],
            qkv: self.span(qkv),
            biases: biases.map(|biases| biases.map(|bias| self.span(bias))),
            scale,
            d,
        });
        self.backend.split_qkv(q, k, v, qkv, biases, normalization, d)
    }
}
