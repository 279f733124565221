//! Convolution, recorded.

use var_kernel::ops::conv2d::{Conv2d, ConvEpilogue, Dims};

use super::node::Node;
use crate::grad::backend::Recordable;
use crate::grad::recording::{RecordedMatrix, Recording};

/// # Panics
/// For an epilogue with ReLU, which needs the sum before it.
impl<B: Recordable> Conv2d for Recording<'_, B> {
    fn conv2d_scratch(&self, d: Dims) -> usize {
        self.backend.conv2d_scratch(d)
    }

    fn conv2d(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        weight: RecordedMatrix<'_, B>,
        bias: &B::Slice,
        epilogue: ConvEpilogue<'_, B::Slice>,
        scratch: &mut B::Slice,
        d: Dims,
    ) -> Result<(), B::Error> {
        assert!(
            !matches!(epilogue, ConvEpilogue::Relu),
            "a recorded ReLU is an operation of its own"
        );
        self.push(Node {
            out: self.span(out),
            x: self.span(x),
            weight: weight.span,
            bias: self.span(bias),
            residual: epilogue.residual().map(|residual| self.span(residual)),
            d,
        });
        self.backend.conv2d(out, x, weight.matrix, bias, epilogue, scratch, d)
    }
}
