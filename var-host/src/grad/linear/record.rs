//! Linear layer, recorded.

use var_kernel::ops::linear::{Dims, Epilogue, Linear};

use super::node::Node;
use crate::grad::backend::Recordable;
use crate::grad::recording::{RecordedMatrix, Recording};

impl<B: Recordable> Linear for Recording<'_, B> {
    /// # Panics
    /// For an epilogue with a gradient in the sum before it, which only an arena that keeps has.
    fn linear(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        weight: RecordedMatrix<'_, B>,
        bias: Option<&B::Slice>,
        epilogue: Epilogue<'_, B::Slice>,
        d: Dims,
    ) -> Result<(), B::Error> {
        let table = match epilogue {
            Epilogue::None => None,
            Epilogue::Plus { table } => Some(self.span(table)),
            Epilogue::Gelu | Epilogue::Gated { .. } => {
                panic!("a recorded forward pass wants an arena that keeps")
            }
        };
        self.push(Node {
            out: self.span(out),
            x: self.span(x),
            weight: weight.span,
            bias: bias.map(|bias| self.span(bias)),
            table,
            d,
        });
        self.backend.linear(out, x, weight.matrix, bias, epilogue, d)
    }
}
