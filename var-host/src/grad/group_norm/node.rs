//! Group normalization on the tape.

use var_kernel::ops::group_norm::{Activation, Dims};

use super::{Forward, GroupNormBackward};
use crate::grad::memory::{Gradients, NodeContext};
use crate::grad::span::Span;
use crate::grad::tape::operation::{Operation, Spans};

/// Group normalization.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) out: Span,
    pub(crate) x: Span,
    pub(crate) weight: Span,
    pub(crate) bias: Span,
    pub(crate) eps: f32,
    pub(crate) activation: Activation,
    pub(crate) d: Dims,
}

impl Spans for Node {
    fn outs(&self) -> &[Span] {
        core::slice::from_ref(&self.out)
    }

    fn inputs(&self) -> Vec<Span> {
        vec![self.x, self.weight, self.bias]
    }
}

impl<B: GroupNormBackward> Operation<B> for Node {
    fn scratch(&self, b: &B) -> usize {
        b.group_norm_backward_sums(self.d)
    }

    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error> {
        let Self { out, x, weight, bias, eps, activation, d } = *self;
        {
            let (out_grad, dx, read, sums) = match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], read, scratch }) => {
                    (out, Some(dx), read, scratch)
                }
                None => {
                    let Gradients { out, inputs: [], read, scratch } = m.out_grad(out);
                    (out, None, read, scratch)
                }
            };
            let of = Forward {
                x: read.of(x),
                weight: read.of(weight),
                bias: read.of(bias),
                eps,
                activation,
            };
            b.group_norm_backward_x(dx, sums, out_grad, of, d)?;
        }
        match m.gradients([weight, bias], out) {
            Some(g) => b.group_norm_backward_parameters(g.inputs, g.scratch, d),
            None => Ok(()),
        }
    }
}
