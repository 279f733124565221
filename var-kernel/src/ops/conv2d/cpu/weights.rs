//! A convolution's weights on their way into panels.

use crate::cpu::matmul::{RowMajorWeights, pack_b_transposed};
use crate::cpu::simd::{LANES, Simd};

/// Sixteen output channels side by side: `to[i · taps + tap][lane]` is the weight of input channel
/// `first_inner + i` for output channel `first_outer + lane`, zero past `outer`.
#[inline(always)]
pub(super) fn widen<S: Simd>(
    s: S,
    to: &mut [[f32; LANES]],
    from: RowMajorWeights<'_>,
    first_outer: usize,
    outer: usize,
    first_inner: usize,
    taps: usize,
) {
    let columns = first_outer..outer.min(first_outer + LANES);
    let depth = first_inner * taps..first_inner * taps + to.len();
    pack_b_transposed(s, to.as_flattened_mut(), &from, columns, depth);
}
