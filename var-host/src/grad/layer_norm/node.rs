//! LayerNorm on the tape.

use var_kernel::ops::layer_norm::Dims;

use super::LayerNormBackward;
use crate::grad::memory::{Gradients, NodeContext};
use crate::grad::span::Span;
use crate::grad::table::TableSpan;
use crate::grad::tape::operation::{Operation, Spans};
use crate::grad::tape::recompute::apart;

/// LayerNorm.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) out: Span,
    pub(crate) x: Span,
    pub(crate) scale: TableSpan,
    pub(crate) shift: TableSpan,
    pub(crate) eps: f32,
    pub(crate) d: Dims,
}

impl Spans for Node {
    fn outs(&self) -> &[Span] {
        core::slice::from_ref(&self.out)
    }

    fn inputs(&self) -> Vec<Span> {
        vec![self.x, self.scale.span, self.shift.span]
    }
}

impl<B: LayerNormBackward> Operation<B> for Node {
    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error> {
        let Self { out, x, scale, shift, eps, d } = *self;
        if let Some(Gradients { out, inputs: [dx], read, .. }) = m.gradients([x], out) {
            let scale = scale.over(read.of(scale.span));
            b.layer_norm_backward_x(dx, out, read.of(x), scale, eps, d)?;
        }
        if let Some(g) = m.gradients([scale.span], out) {
            let [dscale] = g.inputs;
            b.layer_norm_backward_scale(dscale, g.out, g.read.of(x), scale.part, eps, d)?;
        }
        match m.gradients([shift.span], out) {
            Some(Gradients { out, inputs: [dshift], .. }) => {
                b.layer_norm_backward_shift(dshift, out, shift.part, d)
            }
            None => Ok(()),
        }
    }

    fn recompute(&self, b: &B, values: &mut B::Slice, weights: &B::Slice) -> Result<(), B::Error> {
        let Self { out, x, scale, shift, eps, d } = *self;
        let (out, read) = apart(values, weights, out);
        let (scale, shift) = (scale.over(read.of(scale.span)), shift.over(read.of(shift.span)));
        b.layer_norm(out, read.of(x), scale, shift, eps, d)
    }
}
