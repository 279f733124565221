//! Group normalization, recorded.

use var_kernel::ops::group_norm::{Activation, Dims, GroupNorm};

use super::node::Node;
use crate::grad::backend::Recordable;
use crate::grad::recording::Recording;

impl<B: Recordable> GroupNorm for Recording<'_, B> {
    fn group_norm(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        weight: &B::Slice,
        bias: &B::Slice,
        eps: f32,
        activation: Activation,
        d: Dims,
    ) -> Result<(), B::Error> {
        self.push(Node {
            out: self.span(out),
            x: self.span(x),
            weight: self.span(weight),
            bias: self.span(bias),
            eps,
            activation,
            d,
        });
        self.backend.group_norm(out, x, weight, bias, eps, activation, d)
    }
}
