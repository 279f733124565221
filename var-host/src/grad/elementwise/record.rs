//! Element-wise operations, recorded.

use var_kernel::ops::PerRow;
use var_kernel::ops::elementwise::{Elementwise, PlaceDims, Unary};

use super::node::Node;
use crate::grad::backend::Recordable;
use crate::grad::recording::Recording;

impl<B: Recordable> Elementwise for Recording<'_, B> {
    fn blend(
        &self,
        out: &mut B::Slice,
        a: (&B::Slice, f32),
        b: (&B::Slice, f32),
    ) -> Result<(), B::Error> {
        let operands = vec![(self.span(a.0), a.1), (self.span(b.0), b.1)];
        self.push(Node::Blend { out: self.span(out), operands });
        self.backend.blend(out, a, b)
    }

    fn add_table(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        table: &B::Slice,
    ) -> Result<(), B::Error> {
        let (x_span, table_span) = (self.span(x), self.span(table));
        self.push(Node::AddTable { out: self.span(out), x: x_span, table: table_span });
        self.backend.add_table(out, x, table)
    }

    fn map(&self, out: &mut B::Slice, x: &B::Slice, f: Unary) -> Result<(), B::Error> {
        self.push(Node::Map { out: self.span(out), x: self.span(x), f });
        self.backend.map(out, x, f)
    }

    fn gated(
        &self,
        out: &mut B::Slice,
        residual: &B::Slice,
        x: &B::Slice,
        gate: PerRow<'_, B::Slice>,
        width: usize,
    ) -> Result<(), B::Error> {
        self.push(Node::Gated {
            out: self.span(out),
            residual: self.span(residual),
            x: self.span(x),
            gate: self.table(gate),
            width,
        });
        self.backend.gated(out, residual, x, gate, width)
    }

    fn scale_rows(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        factors: &B::Slice,
    ) -> Result<(), B::Error> {
        let (x_span, factors_span) = (self.span(x), self.span(factors));
        self.push(Node::ScaleRows { out: self.span(out), x: x_span, factors: factors_span });
        self.backend.scale_rows(out, x, factors)
    }

    fn place_rows(&self, out: &mut B::Slice, x: &B::Slice, d: PlaceDims) -> Result<(), B::Error> {
        self.push(Node::PlaceRows { out: self.span(out), x: self.span(x), d });
        self.backend.place_rows(out, x, d)
    }

    fn copy(&self, out: &mut B::Slice, x: &B::Slice) -> Result<(), B::Error> {
        let operands = vec![(self.span(x), 1.0)];
        self.push(Node::Blend { out: self.span(out), operands });
        self.backend.copy(out, x)
    }
}
