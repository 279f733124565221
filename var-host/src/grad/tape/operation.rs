//! An operation on the tape: its inputs and outputs, its gradients, its recomputation.

use core::fmt::Debug;

use var_kernel::memory::{Device, Floats};

use crate::grad::memory::{Gradients, NodeContext};
use crate::grad::span::Span;
use crate::grad::sums::{Dims, Sums};

/// The inputs and outputs of an operation.
pub(crate) trait Spans: Debug {
    /// Outputs written whole.
    fn outs(&self) -> &[Span];

    /// Outputs, written whole or in part.
    fn written(&self) -> &[Span] {
        self.outs()
    }

    /// Inputs that receive a gradient.
    fn inputs(&self) -> Vec<Span>;
}

/// An operation on the tape of a backend.
pub(crate) trait Operation<B: Device>: Spans {
    /// Floats of scratch memory that its gradients want.
    fn scratch(&self, _: &B) -> usize {
        0
    }

    /// Accumulates the gradients of its inputs, given that of its output.
    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error>;

    /// Computes its outputs once more: the same bits.
    ///
    /// # Panics
    /// If it is none of a transformer's block: only those are recomputed.
    fn recompute(&self, _: &B, _: &mut B::Slice, _: &B::Slice) -> Result<(), B::Error> {
        panic!("{self:?} is no operation of a block: only those are recomputed")
    }
}

/// `dx += factor · dout`
pub(crate) fn add<B: Sums>(
    b: &B,
    m: &mut NodeContext<'_, '_, B::Slice>,
    x: Span,
    out: Span,
    factor: f32,
) -> Result<(), B::Error> {
    match m.gradients([x], out) {
        Some(Gradients { out, inputs: [dx], .. }) => b.add_scaled(dx, out, factor),
        None => Ok(()),
    }
}

/// The gradient of a bias of every row, or a table of every run of rows: `dx += Σᵣ dout[r]`.
pub(crate) fn add_rows<B: Sums>(
    b: &B,
    m: &mut NodeContext<'_, '_, B::Slice>,
    x: Span,
    out: Span,
) -> Result<(), B::Error> {
    match m.gradients([x], out) {
        Some(Gradients { out, inputs: [dx], .. }) => {
            let d = Dims { rows: out.len() / x.length, stride: x.length, start: 0 };
            b.sum_rows(dx, out, d)
        }
        None => Ok(()),
    }
}
