//! Activation-checkpoint segments.

use core::ops::Range;

use crate::grad::span::{Region, Span};

/// An activation-checkpoint segment: operations with results that are freed at its end.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Its operations.
    pub(super) nodes: Range<usize>,
    /// Results from this offset on are freed.
    pub(super) start: usize,
}

impl Segment {
    /// Whether a turn's result is given away.
    pub(super) fn frees(&self, out: &Span) -> bool {
        out.region == Region::Values && out.start >= self.start
    }
}
