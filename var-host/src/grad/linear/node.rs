//! Linear layer on the tape.

use var_kernel::ops::linear::{Dims, Epilogue};

use super::LinearBackward;
use crate::grad::backend::Addressable;
use crate::grad::memory::{Gradients, NodeContext};
use crate::grad::span::Span;
use crate::grad::sums::Sums;
use crate::grad::tape::operation::{Operation, Spans, add_rows};
use crate::grad::tape::recompute::apart;

/// Linear layer.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) out: Span,
    pub(crate) x: Span,
    pub(crate) weight: Span,
    pub(crate) bias: Option<Span>,
    pub(crate) table: Option<Span>,
    pub(crate) d: Dims,
}

impl Spans for Node {
    fn outs(&self) -> &[Span] {
        core::slice::from_ref(&self.out)
    }

    fn inputs(&self) -> Vec<Span> {
        [Some(self.x), Some(self.weight), self.bias, self.table].into_iter().flatten().collect()
    }
}

impl<B: Addressable + LinearBackward + Sums> Operation<B> for Node {
    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error> {
        let Self { out, x, weight, bias, table, d } = *self;
        if let Some(Gradients { out, inputs: [dx], read, .. }) = m.gradients([x], out) {
            b.linear_backward_x(dx, out, b.matrix_of(read.of(weight)), d)?;
        }
        if let Some(g) = m.gradients([weight], out) {
            let [dweight] = g.inputs;
            b.linear_backward_weight(dweight, g.out, g.read.of(x), d)?;
        }
        for added in [bias, table].into_iter().flatten() {
            add_rows(b, m, added, out)?;
        }
        Ok(())
    }

    fn recompute(&self, b: &B, values: &mut B::Slice, weights: &B::Slice) -> Result<(), B::Error> {
        let Self { out, x, weight, bias, table, d } = *self;
        let (out, read) = apart(values, weights, out);
        let epilogue = match table {
            Some(table) => Epilogue::Plus { table: read.of(table) },
            None => Epilogue::None,
        };
        let (weight, bias) = (b.matrix_of(read.of(weight)), bias.map(|bias| read.of(bias)));
        b.linear(out, read.of(x), weight, bias, epilogue, d)
    }
}
