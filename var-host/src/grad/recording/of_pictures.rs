//! Operations on maps of channels, noted.

use var_kernel::memory::Device;
use var_kernel::ops::conv2d::{self, Conv2d};
use var_kernel::ops::feature_distance::{self, FeatureDistance};
use var_kernel::ops::group_norm::{self, Activation, GroupNorm};
use var_kernel::ops::leaky_relu::LeakyRelu;
use var_kernel::ops::max_pool::{self, MaxPool};
use var_kernel::ops::refine::{self, Change, Codes, Refine, Refinement};
use var_kernel::ops::resize::{self, Resize};

use super::{Recorded, Recording};
use crate::grad::Recordable;
use crate::grad::tape::Node;

impl<B: Recordable> Conv2d for Recording<'_, B> {
    fn conv2d_scratch(&self, d: conv2d::Dims) -> usize {
        self.backend.conv2d_scratch(d)
    }

    fn conv2d(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        weight: Recorded<'_, B>,
        bias: &B::Slice,
        residual: Option<&B::Slice>,
        scratch: &mut B::Slice,
        d: conv2d::Dims,
    ) -> Result<(), B::Error> {
        self.note(Node::Conv2d {
            out: self.span(out),
            x: self.span(x),
            weight: weight.span,
            bias: self.span(bias),
            residual: residual.map(|residual| self.span(residual)),
            d,
        });
        self.backend.conv2d(out, x, weight.matrix, bias, residual, scratch, d)
    }
}

impl<B: Recordable> GroupNorm for Recording<'_, B> {
    fn group_norm(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        weight: &B::Slice,
        bias: &B::Slice,
        eps: f32,
        activation: Activation,
        d: group_norm::Dims,
    ) -> Result<(), B::Error> {
        self.note(Node::GroupNorm {
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

impl<B: Recordable> Resize for Recording<'_, B> {
    fn bicubic(&self, out: &mut B::Slice, x: &B::Slice, d: resize::Dims) -> Result<(), B::Error> {
        self.note(Node::Bicubic { out: self.span(out), x: self.span(x), d });
        self.backend.bicubic(out, x, d)
    }

    fn area(&self, out: &mut B::Slice, x: &B::Slice, d: resize::Dims) -> Result<(), B::Error> {
        self.note(Node::Area { out: self.span(out), x: self.span(x), d });
        self.backend.area(out, x, d)
    }
}

/// The quantizer's fused step changes latents in place, which no tape can undo; for gradients, use its
/// parts: [`Quantizer::contribution`](var_kernel::model::Quantizer::contribution).
impl<B: Recordable> Refine for Recording<'_, B> {
    fn refine_scratch(&self, d: refine::Dims) -> usize {
        self.backend.refine_scratch(d)
    }

    /// # Panics
    /// Always.
    fn refine(
        &self,
        _: &mut B::Slice,
        _: Codes<'_, Self>,
        _: Refinement<'_, Self>,
        _: Change,
        _: &mut B::Slice,
        _: refine::Dims,
    ) -> Result<(), <B as Device>::Error> {
        panic!("refine: it is not recorded; its parts are")
    }
}

impl<B: Recordable> FeatureDistance for Recording<'_, B> {
    fn feature_distance(
        &self,
        out: &mut B::Slice,
        a: &B::Slice,
        b: &B::Slice,
        weights: &B::Slice,
        d: feature_distance::Dims,
    ) -> Result<(), B::Error> {
        let operands = [self.span(a), self.span(b), self.span(weights)];
        self.note(Node::FeatureDistance { out: self.span(out), operands, d });
        self.backend.feature_distance(out, a, b, weights, d)
    }
}

impl<B: Recordable> LeakyRelu for Recording<'_, B> {
    fn leaky_relu(&self, out: &mut B::Slice, x: &B::Slice, slope: f32) -> Result<(), B::Error> {
        self.note(Node::LeakyRelu { out: self.span(out), x: self.span(x), slope });
        self.backend.leaky_relu(out, x, slope)
    }
}

impl<B: Recordable> MaxPool for Recording<'_, B> {
    fn max_pool(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        d: max_pool::Dims,
    ) -> Result<(), B::Error> {
        self.note(Node::MaxPool { out: self.span(out), x: self.span(x), d });
        self.backend.max_pool(out, x, d)
    }
}
