//! Gradients of element-wise operations on the CPU.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;
use var_kernel::ops::PerRow;
use var_kernel::ops::elementwise::{PlaceDims, Unary};
use var_kernel::parts::math;
use var_kernel::parts::simd::{LANES, Simd, SimdKernel};

use super::ElementwiseBackward;
use crate::grad::table::TableSlice;

/// Floats in one task: 64 KiB, enough to outweigh handing it out.
const RUN: usize = 1 << 14;

impl ElementwiseBackward for Cpu<'_> {
    fn map_backward(
        &self,
        dx: &mut [f32],
        dy: &[f32],
        x: &[f32],
        f: Unary,
    ) -> Result<(), Infallible> {
        assert_eq!([dy.len(), x.len()], [dx.len(); 2], "{f:?}'s gradient: lengths differ");
        let isa = self.isa();
        self.for_each_run(dx, RUN, |number, dx, _| {
            let (dy, x) = (&dy[number * RUN..], &x[number * RUN..]);
            isa.run(MapBackward { dx, dy, x, f });
        });
        Ok(())
    }

    fn gated_backward_x(
        &self,
        dx: &mut [f32],
        dy: &[f32],
        gate: PerRow<'_, [f32]>,
        width: usize,
    ) -> Result<(), Infallible> {
        assert_eq!(dx.len(), dy.len(), "gated_backward_x: lengths differ");
        gate.check(dx.len() / width, width);
        let (isa, rows) = (self.isa(), (RUN / width).max(1));
        self.for_each_run(dx, rows * width, |number, dx, _| {
            for (i, dx) in dx.chunks_exact_mut(width).enumerate() {
                let row = number * rows + i;
                let (a, b) = (&dy[row * width..][..width], gate.row(row, width));
                isa.run(AddProduct { out: dx, a, b });
            }
        });
        Ok(())
    }

    fn gated_backward_gate(
        &self,
        dtable: &mut [f32],
        dy: &[f32],
        x: &[f32],
        part: TableSlice,
        width: usize,
    ) -> Result<(), Infallible> {
        assert_eq!(dy.len(), x.len(), "gated_backward_gate: lengths differ");
        let TableSlice { start, stride, rows } = part;
        let all = dy.len() / width;
        let used = part.check(dtable.len(), all, width);
        let isa = self.isa();
        self.for_each_run(&mut dtable[..used], stride, |number, row, _| {
            let sums = &mut row[start..start + width];
            for r in number * rows..all.min((number + 1) * rows) {
                let from = r * width..(r + 1) * width;
                isa.run(AddProduct { out: sums, a: &dy[from.clone()], b: &x[from] });
            }
        });
        Ok(())
    }

    fn scale_rows_backward(
        &self,
        dx: &mut [f32],
        dy: &[f32],
        factors: &[f32],
    ) -> Result<(), Infallible> {
        assert_eq!(dx.len(), dy.len(), "scale_rows_backward: lengths differ");
        let width = dx.len() / factors.len();
        assert_eq!(width * factors.len(), dx.len(), "scale_rows_backward: not whole rows");
        self.for_each_run(dx, width.max(1), |row, dx, _| {
            for (dx, dy) in dx.iter_mut().zip(&dy[row * width..]) {
                *dx += dy * factors[row];
            }
        });
        Ok(())
    }

    fn place_rows_backward(
        &self,
        dx: &mut [f32],
        dout: &[f32],
        d: PlaceDims,
    ) -> Result<(), Infallible> {
        let PlaceDims { rows, width, stride, start } = d;
        assert_eq!(dx.len(), rows * width, "place_rows_backward: dx is not rows × width");
        assert_eq!(dout.len(), rows * stride, "place_rows_backward: dout is not rows × stride");
        for (dx, dout) in dx.chunks_exact_mut(width).zip(dout.chunks_exact(stride)) {
            for (dx, dout) in dx.iter_mut().zip(&dout[start..start + width]) {
                *dx += dout;
            }
        }
        Ok(())
    }
}

struct MapBackward<'a> {
    dx: &'a mut [f32],
    dy: &'a [f32],
    x: &'a [f32],
    f: Unary,
}

impl SimdKernel for MapBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let operands = self.dy.chunks(LANES).zip(self.x.chunks(LANES));
        for (dx, (dy, x)) in self.dx.chunks_mut(LANES).zip(operands) {
            let x = s.load_or(x, 0.0);
            let slope = match self.f {
                Unary::Gelu => gelu_slope(s, x),
                Unary::Silu => silu_slope(s, x),
                Unary::LeakyRelu { slope } => {
                    s.where_less(s.splat(0.0), x, s.splat(1.0), s.splat(slope))
                }
            };
            s.store_part(s.mul_add(s.load_or(dy, 0.0), slope, s.load_or(dx, 0.0)), dx);
        }
    }
}

/// `σ(x) · (1 + x · (1 − σ(x)))`
#[inline(always)]
pub(crate) fn silu_slope<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let sigmoid = s.div(one, s.add(one, math::exp(s, s.sub(s.splat(0.0), x))));
    s.mul(sigmoid, s.mul_add(x, s.sub(one, sigmoid), one))
}

/// With `u = √(2/π)·(x + 0.044715·x³)` and `σ = 1 / (1 + e^(−2u))`: `σ + 2x·σ·(1 − σ)·u'`.
#[inline(always)]
fn gelu_slope<S: Simd>(s: S, x: S::F32) -> S::F32 {
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    let (one, square) = (s.splat(1.0), s.mul(x, x));
    let cubic = s.mul_add(square, s.splat(0.044_715), one);
    let twice_u = s.mul(s.mul(x, s.splat(TWICE_SQRT_2_OVER_PI)), cubic);
    let sigmoid = s.div(one, s.add(one, math::exp(s, s.sub(s.splat(0.0), twice_u))));
    let twice_slope =
        s.mul(s.mul_add(square, s.splat(3.0 * 0.044_715), one), s.splat(TWICE_SQRT_2_OVER_PI));
    let rise = s.mul(s.mul(x, sigmoid), s.mul(s.sub(one, sigmoid), twice_slope));
    s.add(sigmoid, rise)
}

/// `out += a · b`
struct AddProduct<'a> {
    out: &'a mut [f32],
    a: &'a [f32],
    b: &'a [f32],
}

impl SimdKernel for AddProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let operands = self.a.chunks(LANES).zip(self.b.chunks(LANES));
        for (out, (a, b)) in self.out.chunks_mut(LANES).zip(operands) {
            s.store_part(s.mul_add(s.load_or(a, 0.0), s.load_or(b, 0.0), s.load_or(out, 0.0)), out);
        }
    }
}
