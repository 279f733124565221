//! Step between the q·k·v product and attention on the tape.

use var_kernel::ops::split_qkv::{Dims, Normalization};

use super::SplitQkvBackward;
use crate::grad::memory::{Gradients, NodeContext};
use crate::grad::span::Span;
use crate::grad::sums::{self, Sums};
use crate::grad::tape::operation::{Operation, Spans};
use crate::grad::tape::recompute::apart_from_three;

/// Step between the q·k·v product and attention.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) outs: [Span; 3],
    pub(crate) qkv: Span,
    pub(crate) biases: Option<[Span; 2]>,
    pub(crate) scale: Option<Span>,
    pub(crate) d: Dims,
}

impl Spans for Node {
    fn outs(&self) -> &[Span] {
        &self.outs
    }

    fn inputs(&self) -> Vec<Span> {
        let optional = [Some(self.qkv), self.scale].into_iter().flatten();
        optional.chain(self.biases.into_iter().flatten()).collect()
    }
}

impl<B: SplitQkvBackward + Sums> Operation<B> for Node {
    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error> {
        let Self { outs, qkv, biases, scale, d } = *self;
        if let Some((gradients, dqkv, read)) = m.gradients_of_outs(qkv, outs) {
            let query_bias = biases.map(|[bias, _]| read.of(bias));
            let normalization = match scale {
                Some(scale) => Normalization::UnitLength { scale: read.of(scale) },
                None => Normalization::None,
            };
            let qkv = read.of(qkv);
            b.split_qkv_backward(dqkv, gradients, qkv, query_bias, normalization, d)?;
        }
        let (rows, width) = (d.batch * d.rows, d.width());
        for (part, bias) in [(0, biases.map(|b| b[0])), (2, biases.map(|b| b[1]))] {
            let Some(bias) = bias else { continue };
            if let Some(Gradients { out, inputs: [dbias], .. }) = m.gradients([bias], qkv) {
                let d = sums::Dims { rows, stride: 3 * width, start: part * width };
                b.sum_rows(dbias, out, d)?;
            }
        }
        let Some(scale) = scale else { return Ok(()) };
        match m.gradients([scale], outs[0]) {
            Some(Gradients { out, inputs: [dscale], read, .. }) => {
                let (q, scale) = (read.of(outs[0]), read.of(scale));
                b.split_qkv_backward_scale(dscale, out, q, scale, d)
            }
            None => Ok(()),
        }
    }

    fn recompute(&self, b: &B, values: &mut B::Slice, weights: &B::Slice) -> Result<(), B::Error> {
        let Self { outs, qkv, biases, scale, d } = *self;
        let ([q, k, v], read) = apart_from_three(values, weights, outs);
        let biases = biases.map(|biases| biases.map(|bias| read.of(bias)));
        let normalization = match scale {
            Some(scale) => Normalization::UnitLength { scale: read.of(scale) },
            None => Normalization::None,
        };
        b.split_qkv(q, k, v, read.of(qkv), biases, normalization, d)
    }
}
