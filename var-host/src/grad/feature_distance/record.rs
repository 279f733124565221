//! Distance of features, recorded.

use var_kernel::ops::feature_distance::{Dims, FeatureDistance};

use super::node::Node;
use crate::grad::backend::Recordable;
use crate::grad::recording::Recording;

impl<B: Recordable> FeatureDistance for Recording<'_, B> {
    fn feature_distance(
        &self,
        out: &mut B::Slice,
        a: &B::Slice,
        b: &B::Slice,
        weights: &B::Slice,
        d: Dims,
    ) -> Result<(), B::Error> {
        let operands = [self.span(a), self.span(b), self.span(weights)];
        self.push(Node { out: self.span(out), operands, d });
        self.backend.feature_distance(out, a, b, weights, d)
    }
}
