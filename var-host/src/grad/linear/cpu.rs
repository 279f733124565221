//! Gradients of a linear layer on the CPU: two accumulating products.

use core::convert::Infallible;
use core::ops::Range;

use var_kernel::cpu::matmul::product::{Operands, Size};
use var_kernel::cpu::matmul::{
    RowMajor, RowMajorQ8, Start, pack_left, pack_left_transposed, pack_right,
};
use var_kernel::cpu::simd::Simd;
use var_kernel::cpu::{Cpu, Matrix};
use var_kernel::ops::linear::Dims;

use super::LinearBackward;

impl LinearBackward for Cpu<'_> {
    fn linear_backward_x(
        &self,
        dx: &mut [f32],
        dy: &[f32],
        weight: Matrix<'_>,
        d: Dims,
    ) -> Result<(), Infallible> {
        let Dims { rows, inner, outer } = d;
        assert_eq!(dy.len(), rows * outer, "linear_backward_x: dy is not rows × outer");
        assert_eq!(weight.len(), outer * inner, "linear_backward_x: weight is not outer × inner");
        let operands = OverColumns { dy: RowMajor { values: dy, stride: outer }, weight, inner };
        self.product(dx, &operands, Size { rows, columns: inner, depth: outer }, Start::Output);
        Ok(())
    }

    fn linear_backward_weight(
        &self,
        dweight: &mut [f32],
        dy: &[f32],
        x: &[f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        let Dims { rows, inner, outer } = d;
        assert_eq!(dy.len(), rows * outer, "linear_backward_weight: dy is not rows × outer");
        assert_eq!(x.len(), rows * inner, "linear_backward_weight: x is not rows × inner");
        let operands = OverRows {
            dy: RowMajor { values: dy, stride: outer },
            x: RowMajor { values: x, stride: inner },
        };
        let size = Size { rows: outer, columns: inner, depth: rows };
        self.product(dweight, &operands, size, Start::Output);
        Ok(())
    }
}

/// `dy · weight`
struct OverColumns<'a> {
    dy: RowMajor<'a, f32>,
    weight: Matrix<'a>,
    inner: usize,
}

impl Operands for OverColumns<'_> {
    #[inline(always)]
    fn pack_left<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>) {
        pack_left(s, to, &self.dy, rows, depth);
    }

    #[inline(always)]
    fn pack_right<S: Simd>(
        &self,
        s: S,
        to: &mut [f32],
        columns: Range<usize>,
        depth: Range<usize>,
    ) {
        let stride = self.inner;
        match self.weight {
            Matrix::F32(values) => pack_right(s, to, &RowMajor { values, stride }, columns, depth),
            Matrix::F16(values) => pack_right(s, to, &RowMajor { values, stride }, columns, depth),
            Matrix::Bf16(values) => pack_right(s, to, &RowMajor { values, stride }, columns, depth),
            Matrix::Q8 { values, scales } => {
                pack_right(s, to, &RowMajorQ8 { values, scales, stride }, columns, depth)
            }
        }
    }
}

/// `dyᵀ · x`
struct OverRows<'a> {
    dy: RowMajor<'a, f32>,
    x: RowMajor<'a, f32>,
}

impl Operands for OverRows<'_> {
    #[inline(always)]
    fn pack_left<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>) {
        pack_left_transposed(s, to, &self.dy, rows, depth);
    }

    #[inline(always)]
    fn pack_right<S: Simd>(
        &self,
        s: S,
        to: &mut [f32],
        columns: Range<usize>,
        depth: Range<usize>,
    ) {
        pack_right(s, to, &self.x, columns, depth);
    }
}
