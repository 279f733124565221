//! A convolution's weights on their way into panels.

use crate::cpu::Matrix;
use crate::cpu::matmul::{LoadElements, RowMajor, RowMajorQ8, pack_b_transposed};
use crate::cpu::simd::{LANES, Simd};

/// The weights as rows, one for each output channel: `inner × kernel × kernel` numbers, whatever
/// their format.
#[derive(Clone, Copy)]
pub(super) struct WeightRows<'a> {
    pub(super) matrix: Matrix<'a>,
    pub(super) stride: usize,
}

impl LoadElements for WeightRows<'_> {
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, row: usize, column: usize, length: usize) -> S::F32 {
        let stride = self.stride;
        match self.matrix {
            Matrix::F32(values) => RowMajor { values, stride }.load(s, row, column, length),
            Matrix::F16(values) => RowMajor { values, stride }.load(s, row, column, length),
            Matrix::Bf16(values) => RowMajor { values, stride }.load(s, row, column, length),
            Matrix::Q8 { values, scales } => {
                RowMajorQ8 { values, scales, stride }.load(s, row, column, length)
            }
        }
    }
}

/// Sixteen output channels side by side: `to[i · taps + tap][lane]` is the weight of input channel
/// `first_inner + i` for output channel `first_outer + lane`, zero past `outer`.
#[inline(always)]
pub(super) fn widen<S: Simd>(
    s: S,
    to: &mut [[f32; LANES]],
    from: WeightRows<'_>,
    first_outer: usize,
    outer: usize,
    first_inner: usize,
    taps: usize,
) {
    let columns = first_outer..outer.min(first_outer + LANES);
    let depth = first_inner * taps..first_inner * taps + to.len();
    pack_b_transposed(s, to.as_flattened_mut(), &from, columns, depth);
}
