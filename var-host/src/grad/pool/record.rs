//! Pooling, recorded.

use var_kernel::ops::pool::{Dims, Pool, Pooling};

use super::node::Node;
use crate::grad::backend::Recordable;
use crate::grad::recording::Recording;

impl<B: Recordable> Pool for Recording<'_, B> {
    fn pool(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        pooling: Pooling,
        d: Dims,
    ) -> Result<(), B::Error> {
        self.push(Node { out: self.span(out), x: self.span(x), pooling, d });
        self.backend.pool(out, x, pooling, d)
    }
}
