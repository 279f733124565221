//! Resizing, recorded.

use var_kernel::ops::resize::{Dims, Resize};

use super::node::Node;
use crate::grad::backend::Recordable;
use crate::grad::recording::Recording;

impl<B: Recordable> Resize for Recording<'_, B> {
    fn bicubic(&self, out: &mut B::Slice, x: &B::Slice, d: Dims) -> Result<(), B::Error> {
        self.push(Node::Bicubic { out: self.span(out), x: self.span(x), d });
        self.backend.bicubic(out, x, d)
    }

    fn area(&self, out: &mut B::Slice, x: &B::Slice, d: Dims) -> Result<(), B::Error> {
        self.push(Node::Area { out: self.span(out), x: self.span(x), d });
        self.backend.area(out, x, d)
    }
}
