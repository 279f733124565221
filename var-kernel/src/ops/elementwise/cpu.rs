//! Element-wise operations on the CPU.

use core::convert::Infallible;

use super::{Elementwise, PlaceDims, Unary, check_gated, check_map, check_scale_rows, check_table};
use crate::cpu::Cpu;
use crate::cpu::math::{gelu, silu};
use crate::cpu::simd::{LANES, Simd, SimdKernel};
use crate::ops::PerRow;

/// Floats in one task: 64 KiB, enough to outweigh handing it out.
const RUN: usize = 1 << 14;

impl Elementwise for Cpu<'_> {
    fn blend(
        &self,
        out: &mut [f32],
        (a, a_factor): (&[f32], f32),
        (b, b_factor): (&[f32], f32),
    ) -> Result<(), Infallible> {
        assert_eq!([a.len(), b.len()], [out.len(); 2], "blend: lengths differ");
        self.begin("elementwise", 0, 8 * out.len());
        let isa = self.isa;
        self.for_each_run(out, RUN, |number, out, _| {
            let (a, b) = (&a[number * RUN..], &b[number * RUN..]);
            isa.run(Blend { out, a, b, a_factor, b_factor });
        });
        Ok(())
    }

    fn add_table(&self, out: &mut [f32], x: &[f32], table: &[f32]) -> Result<(), Infallible> {
        check_table(out.len(), x.len(), table.len());
        self.begin("elementwise", 0, 8 * out.len());
        let isa = self.isa;
        self.for_each_run(out, table.len(), |number, out, _| {
            let x = &x[number * table.len()..];
            isa.run(Blend { out, a: x, b: table, a_factor: 1.0, b_factor: 1.0 });
        });
        Ok(())
    }

    fn map(&self, out: &mut [f32], x: &[f32], f: Unary) -> Result<(), Infallible> {
        check_map(out.len(), x.len(), f);
        self.begin("elementwise", 0, 8 * out.len());
        let isa = self.isa;
        self.for_each_run(out, RUN, |number, out, _| {
            isa.run(Map { out, x: &x[number * RUN..], f });
        });
        Ok(())
    }

    fn gated(
        &self,
        out: &mut [f32],
        residual: &[f32],
        x: &[f32],
        gate: PerRow<'_, [f32]>,
        width: usize,
    ) -> Result<(), Infallible> {
        check_gated(out.len(), residual.len(), x.len(), gate, width);
        self.begin("elementwise", 0, 8 * out.len());
        let isa = self.isa;
        let rows = (RUN / width).max(1);
        self.for_each_run(out, rows * width, |number, out, _| {
            for (i, out) in out.chunks_exact_mut(width).enumerate() {
                let row = number * rows + i;
                let part = row * width..(row + 1) * width;
                let (residual, x) = (&residual[part.clone()], &x[part]);
                isa.run(Gated { out, residual, x, gate: gate.row(row, width) });
            }
        });
        Ok(())
    }

    fn scale_rows(&self, out: &mut [f32], x: &[f32], factors: &[f32]) -> Result<(), Infallible> {
        let width = check_scale_rows(out.len(), x.len(), factors.len());
        self.begin("elementwise", 0, 8 * out.len());
        self.for_each_run(out, width.max(1), |row, out, _| {
            for (out, x) in out.iter_mut().zip(&x[row * width..]) {
                *out = x * factors[row];
            }
        });
        Ok(())
    }

    fn place_rows(&self, out: &mut [f32], x: &[f32], d: PlaceDims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        self.begin("elementwise", 0, 8 * out.len());
        let rows = out.chunks_exact_mut(d.stride).zip(x.chunks_exact(d.width));
        for (out, x) in rows {
            out[d.start..d.start + d.width].copy_from_slice(x);
        }
        Ok(())
    }

    fn copy(&self, out: &mut [f32], x: &[f32]) -> Result<(), Infallible> {
        out.copy_from_slice(x);
        self.begin("elementwise", 0, 8 * out.len());
        Ok(())
    }
}

struct Blend<'a> {
    out: &'a mut [f32],
    a: &'a [f32],
    b: &'a [f32],
    a_factor: f32,
    b_factor: f32,
}

impl SimdKernel for Blend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (a_factor, b_factor) = (s.splat(self.a_factor), s.splat(self.b_factor));
        let operands = self.a.chunks(LANES).zip(self.b.chunks(LANES));
        for (out, (a, b)) in self.out.chunks_mut(LANES).zip(operands) {
            let a = s.mul(s.load_or(a, 0.0), a_factor);
            s.store_part(s.mul_add(s.load_or(b, 0.0), b_factor, a), out);
        }
    }
}

struct Map<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    f: Unary,
}

impl SimdKernel for Map<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.f {
            Unary::Gelu => self.each(s, |x| gelu(s, x)),
            Unary::Silu => self.each(s, |x| silu(s, x)),
            Unary::LeakyRelu { slope } => {
                let (slope, zero) = (s.splat(slope), s.splat(0.0));
                // NaN is not above 0, and stays NaN in the product.
                self.each(s, |x| s.where_less(zero, x, x, s.mul(slope, x)));
            }
        }
    }
}

impl Map<'_> {
    #[inline(always)]
    fn each<S: Simd>(self, s: S, f: impl Fn(S::F32) -> S::F32) {
        for (out, x) in self.out.chunks_mut(LANES).zip(self.x.chunks(LANES)) {
            s.store_part(f(s.load_or(x, 0.0)), out);
        }
    }
}

/// One row.
struct Gated<'a> {
    out: &'a mut [f32],
    residual: &'a [f32],
    x: &'a [f32],
    gate: &'a [f32],
}

impl SimdKernel for Gated<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let operands = self.residual.chunks(LANES).zip(self.x.chunks(LANES));
        let operands = operands.zip(self.gate.chunks(LANES));
        for (out, ((residual, x), gate)) in self.out.chunks_mut(LANES).zip(operands) {
            let residual = s.load_or(residual, 0.0);
            s.store_part(s.mul_add(s.load_or(gate, 0.0), s.load_or(x, 0.0), residual), out);
        }
    }
}
