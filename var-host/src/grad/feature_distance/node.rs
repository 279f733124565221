//! Distance of features on the tape.

use var_kernel::ops::feature_distance::Dims;

use super::FeatureDistanceBackward;
use crate::grad::memory::{Gradients, NodeContext};
use crate::grad::span::Span;
use crate::grad::tape::operation::{Operation, Spans};

/// Distance of features.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) out: Span,
    pub(crate) operands: [Span; 3],
    pub(crate) d: Dims,
}

impl Spans for Node {
    fn outs(&self) -> &[Span] {
        core::slice::from_ref(&self.out)
    }

    fn inputs(&self) -> Vec<Span> {
        vec![self.operands[0]]
    }
}

impl<B: FeatureDistanceBackward> Operation<B> for Node {
    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error> {
        let Self { out, operands, d } = *self;
        match m.gradients([operands[0]], out) {
            Some(Gradients { out, inputs: [da], read, .. }) => {
                let [a, other, weights] = operands.map(|operand| read.of(operand));
                b.feature_distance_backward(da, out, a, other, weights, d)
            }
            None => Ok(()),
        }
    }
}
