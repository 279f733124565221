//! LayerNorm, recorded.

use var_kernel::ops::PerRow;
use var_kernel::ops::layer_norm::{Dims, LayerNorm};

use super::node::Node;
use crate::grad::backend::Recordable;
use crate::grad::recording::Recording;

impl<B: Recordable> LayerNorm for Recording<'_, B> {
    fn layer_norm(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        scale: PerRow<'_, B::Slice>,
        shift: PerRow<'_, B::Slice>,
        eps: f32,
        d: Dims,
    ) -> Result<(), B::Error> {
        self.push(Node {
            out: self.span(out),
            x: self.span(x),
            scale: self.table(scale),
            shift: self.table(shift),
            eps,
            d,
        });
        self.backend.layer_norm(out, x, scale, shift, eps, d)
    }
}
