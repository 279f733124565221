//! Convolution on the tape.

use var_kernel::ops::conv2d::Dims;

use super::Conv2dBackward;
use crate::grad::backend::Addressable;
use crate::grad::memory::NodeContext;
use crate::grad::span::Span;
use crate::grad::sums::Sums;
use crate::grad::tape::operation::{Operation, Spans, add, add_rows};

/// Convolution.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) out: Span,
    pub(crate) x: Span,
    pub(crate) weight: Span,
    pub(crate) bias: Span,
    pub(crate) residual: Option<Span>,
    pub(crate) d: Dims,
}

impl Spans for Node {
    fn outs(&self) -> &[Span] {
        core::slice::from_ref(&self.out)
    }

    fn inputs(&self) -> Vec<Span> {
        let Self { x, weight, bias, residual, .. } = *self;
        [Some(x), Some(weight), Some(bias), residual].into_iter().flatten().collect()
    }
}

impl<B: Addressable + Conv2dBackward + Sums> Operation<B> for Node {
    fn scratch(&self, b: &B) -> usize {
        b.conv2d_backward_scratch(self.d)
    }

    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error> {
        let Self { out, x, weight, bias, residual, d } = *self;
        if let Some(g) = m.gradients([x], out) {
            let ([dx], weight) = (g.inputs, b.matrix_of(g.read.of(weight)));
            b.conv2d_backward_x(dx, g.out, weight, g.scratch, d)?;
        }
        if let Some(g) = m.gradients([weight], out) {
            let [dweight] = g.inputs;
            b.conv2d_backward_weight(dweight, g.out, g.read.of(x), g.scratch, d)?;
        }
        add_rows(b, m, bias, out)?;
        match residual {
            Some(residual) => add(b, m, residual, out, 1.0),
            None => Ok(()),
        }
    }
}
