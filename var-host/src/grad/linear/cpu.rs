//! Gradients of a linear layer on the CPU: two accumulating products.

use core::convert::Infallible;
use core::ops::Range;

use var_kernel::cpu::{Cpu, Matrix};
use var_kernel::ops::linear::Dims;
use var_kernel::parts::matmul::gemm::{GemmOperands, GemmSize};
use var_kernel::parts::matmul::{Initial, RowMajor, RowMajorQ8, pack_a, pack_a_transposed, pack_b};
use var_kernel::parts::simd::Simd;

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
        self.gemm(dx, &operands, GemmSize { rows, columns: inner, depth: outer }, Initial::Output);
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
        let size = GemmSize { rows: outer, columns: inner, depth: rows };
        self.gemm(dweight, &operands, size, Initial::Output);
        Ok(())
    }
}

/// `dy · weight`
struct OverColumns<'a> {
    dy: RowMajor<'a, f32>,
    weight: Matrix<'a>,
    inner: usize,
}

impl GemmOperands for OverColumns<'_> {
    #[inline(always)]
    fn pack_a<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>) {
        pack_a(s, to, &self.dy, rows, depth);
    }

    #[inline(always)]
    fn pack_b<S: Simd>(&self, s: S, to: &mut [f32], columns: Range<usize>, depth: Range<usize>) {
        let stride = self.inner;
        match self.weight {
            Matrix::F32(values) => pack_b(s, to, &RowMajor { values, stride }, columns, depth),
            Matrix::F16(values) => pack_b(s, to, &RowMajor { values, stride }, columns, depth),
            Matrix::Bf16(values) => pack_b(s, to, &RowMajor { values, stride }, columns, depth),
            Matrix::Q8 { values, scales } => {
                pack_b(s, to, &RowMajorQ8 { values, scales, stride }, columns, depth)
            }
        }
    }
}

/// `dyᵀ · x`
struct OverRows<'a> {
    dy: RowMajor<'a, f32>,
    x: RowMajor<'a, f32>,
}

impl GemmOperands for OverRows<'_> {
    #[inline(always)]
    fn pack_a<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>) {
        pack_a_transposed(s, to, &self.dy, rows, depth);
    }

    #[inline(always)]
    fn pack_b<S: Simd>(&self, s: S, to: &mut [f32], columns: Range<usize>, depth: Range<usize>) {
        pack_b(s, to, &self.x, columns, depth);
    }
}
