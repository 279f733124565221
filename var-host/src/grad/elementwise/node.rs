//! Element-wise operations on the tape.

use var_kernel::ops::elementwise::{Elementwise, PlaceDims, Unary};

use super::ElementwiseBackward;
use crate::grad::memory::{Gradients, NodeContext};
use crate::grad::span::Span;
use crate::grad::sums::Sums;
use crate::grad::table::TableSpan;
use crate::grad::tape::operation::{Operation, Spans, add, add_rows};
use crate::grad::tape::recompute::apart;

/// An element-wise operation.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// A function of each number.
    Map { out: Span, x: Span, f: Unary },
    /// Each operand with its factor; also a copy, with one operand.
    Blend { out: Span, operands: Vec<(Span, f32)> },
    /// A table added to each of many rows.
    AddTable { out: Span, x: Span, table: Span },
    /// A gated residual.
    Gated { out: Span, residual: Span, x: Span, gate: TableSpan, width: usize },
    /// A factor for each row.
    ScaleRows { out: Span, x: Span, factors: Span },
    /// Rows written into longer rows.
    PlaceRows { out: Span, x: Span, d: PlaceDims },
}

impl Spans for Node {
    fn outs(&self) -> &[Span] {
        match self {
            Self::Map { out, .. }
            | Self::Blend { out, .. }
            | Self::AddTable { out, .. }
            | Self::Gated { out, .. }
            | Self::ScaleRows { out, .. } => core::slice::from_ref(out),
            // Several fill one output, each its columns.
            Self::PlaceRows { .. } => &[],
        }
    }

    fn written(&self) -> &[Span] {
        match self {
            Self::PlaceRows { out, .. } => core::slice::from_ref(out),
            _ => self.outs(),
        }
    }

    fn inputs(&self) -> Vec<Span> {
        match *self {
            Self::Blend { ref operands, .. } => operands.iter().map(|(x, _)| *x).collect(),
            Self::AddTable { x, table, .. } => vec![x, table],
            Self::Gated { residual, x, gate, .. } => vec![residual, x, gate.span],
            Self::Map { x, .. } | Self::ScaleRows { x, .. } | Self::PlaceRows { x, .. } => vec![x],
        }
    }
}

impl<B: Elementwise + ElementwiseBackward + Sums> Operation<B> for Node {
    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error> {
        match *self {
            Self::Map { out, x, f } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], read, .. }) => {
                    b.map_backward(dx, out, read.of(x), f)
                }
                None => Ok(()),
            },
            Self::Blend { out, ref operands } => {
                for (x, factor) in operands {
                    add(b, m, *x, out, *factor)?;
                }
                Ok(())
            }
            Self::AddTable { out, x, table } => {
                add(b, m, x, out, 1.0)?;
                add_rows(b, m, table, out)
            }
            Self::Gated { out, residual, x, gate, width } => {
                add(b, m, residual, out, 1.0)?;
                if let Some(Gradients { out, inputs: [dx], read, .. }) = m.gradients([x], out) {
                    b.gated_backward_x(dx, out, gate.over(read.of(gate.span)), width)?;
                }
                match m.gradients([gate.span], out) {
                    Some(Gradients { out, inputs: [dgate], read, .. }) => {
                        b.gated_backward_gate(dgate, out, read.of(x), gate.part, width)
                    }
                    None => Ok(()),
                }
            }
            Self::ScaleRows { out, x, factors } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], read, .. }) => {
                    b.scale_rows_backward(dx, out, read.of(factors))
                }
                None => Ok(()),
            },
            Self::PlaceRows { out, x, d } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], .. }) => b.place_rows_backward(dx, out, d),
                None => Ok(()),
            },
        }
    }

    fn recompute(&self, b: &B, values: &mut B::Slice, weights: &B::Slice) -> Result<(), B::Error> {
        match *self {
            Self::Map { out, x, f } => {
                let (out, read) = apart(values, weights, out);
                b.map(out, read.of(x), f)
            }
            Self::Gated { out, residual, x, gate, width } => {
                let (out, read) = apart(values, weights, out);
                let gate = gate.over(read.of(gate.span));
                b.gated(out, read.of(residual), read.of(x), gate, width)
            }
            _ => panic!("{self:?} is no operation of a block: only those are recomputed"),
        }
    }
}
