//! Sizes of packed rows and columns.

use crate::cpu::matrix::Q8_BLOCK;
use crate::cpu::simd::dot::{Dot, GROUP};
use crate::cpu::simd::{LANES, Simd};

/// Groups of neighbors in a block.
pub(super) const GROUPS: usize = Q8_BLOCK / GROUP;

/// Floats of a packed row for one block: a scale, an offset, the integers.
pub(super) const fn row_len<S: Simd, D: Dot<S>>() -> usize {
    2 + GROUPS * D::WORDS
}

/// Floats of a panel of [`LANES`] packed columns for one block: scales, integers.
pub(super) const fn panel_len<S: Simd, D: Dot<S>>() -> usize {
    LANES * (1 + GROUPS * D::WORDS)
}
