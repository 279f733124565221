//! The last converted operand.

use core::ops::Range;

use super::dtype::Dtype;
use super::memory::Memory;

/// A converted copy of a run that the next operation may want too.
#[derive(Default)]
pub(super) struct ConversionCache {
    pub(super) memory: Option<Memory>,
    /// The bytes it was made of, and its format; none once they were overwritten.
    pub(super) of: Option<(Range<u64>, Dtype)>,
}
