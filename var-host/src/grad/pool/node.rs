//! Pooling on the tape.

use var_kernel::ops::pool::{Dims, Pooling};

use super::PoolBackward;
use crate::grad::memory::{Gradients, NodeContext};
use crate::grad::span::Span;
use crate::grad::tape::operation::{Operation, Spans};

/// Pooling of windows.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) out: Span,
    pub(crate) x: Span,
    pub(crate) pooling: Pooling,
    pub(crate) d: Dims,
}

impl Spans for Node {
    fn outs(&self) -> &[Span] {
        core::slice::from_ref(&self.out)
    }

    fn inputs(&self) -> Vec<Span> {
        vec![self.x]
    }
}

impl<B: PoolBackward> Operation<B> for Node {
    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error> {
        match m.gradients([self.x], self.out) {
            Some(Gradients { out, inputs: [dx], read, .. }) => {
                b.pool_backward(dx, out, read.of(self.x), self.pooling, self.d)
            }
            None => Ok(()),
        }
    }
}
