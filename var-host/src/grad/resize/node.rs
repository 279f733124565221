//! Resizing on the tape.

use var_kernel::ops::resize::Dims;

use super::ResizeBackward;
use crate::grad::memory::{Gradients, NodeContext};
use crate::grad::span::Span;
use crate::grad::tape::operation::{Operation, Spans};

/// Resizing of maps.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// Up, bicubic.
    Bicubic { out: Span, x: Span, d: Dims },
    /// Down, by area.
    Area { out: Span, x: Span, d: Dims },
}

impl Spans for Node {
    fn outs(&self) -> &[Span] {
        let (Self::Bicubic { out, .. } | Self::Area { out, .. }) = self;
        core::slice::from_ref(out)
    }

    fn inputs(&self) -> Vec<Span> {
        let (Self::Bicubic { x, .. } | Self::Area { x, .. }) = self;
        vec![*x]
    }
}

impl<B: ResizeBackward> Operation<B> for Node {
    fn backward(&self, b: &B, m: &mut NodeContext<'_, '_, B::Slice>) -> Result<(), B::Error> {
        match *self {
            Self::Bicubic { out, x, d } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], .. }) => b.bicubic_backward(dx, out, d),
                None => Ok(()),
            },
            Self::Area { out, x, d } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], .. }) => b.area_backward(dx, out, d),
                None => Ok(()),
            },
        }
    }
}
