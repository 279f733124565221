//! One pass over memory on the CPU.

use core::convert::Infallible;

use super::{Combine, check_embedding, check_table};
use crate::cpu::Cpu;
use crate::cpu::math::silu;
use crate::cpu::simd::{Kernel, LANES, Simd};

/// Floats in one task: 64 KiB, enough to outweigh handing it out.
const RUN: usize = 1 << 14;

impl Combine for Cpu<'_> {
    fn blend(
        &self,
        out: &mut [f32],
        (a, a_factor): (&[f32], f32),
        (b, b_factor): (&[f32], f32),
    ) -> Result<(), Infallible> {
        assert_eq!([a.len(), b.len()], [out.len(); 2], "blend: lengths differ");
        let isa = self.isa;
        self.for_each_run(out, RUN, |number, out, _| {
            let (a, b) = (&a[number * RUN..], &b[number * RUN..]);
            isa.run(Blend { out, a, b, a_factor, b_factor });
        });
        Ok(())
    }

    fn add_table(&self, out: &mut [f32], x: &[f32], table: &[f32]) -> Result<(), Infallible> {
        check_table(out.len(), x.len(), table.len());
        let isa = self.isa;
        self.for_each_run(out, table.len(), |number, out, _| {
            let x = &x[number * table.len()..];
            isa.run(Blend { out, a: x, b: table, a_factor: 1.0, b_factor: 1.0 });
        });
        Ok(())
    }

    fn silu(&self, out: &mut [f32], x: &[f32]) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "silu: lengths differ");
        let isa = self.isa;
        self.for_each_run(out, RUN, |number, out, _| {
            isa.run(Silu { out, x: &x[number * RUN..] });
        });
        Ok(())
    }

    fn embedding(
        &self,
        out: &mut [f32],
        table: &[f32],
        indices: &[u32],
        width: usize,
    ) -> Result<(), Infallible> {
        check_embedding(out.len(), table.len(), indices, width);
        for (row, index) in out.chunks_exact_mut(width).zip(indices) {
            row.copy_from_slice(&table[*index as usize * width..][..width]);
        }
        Ok(())
    }

    fn copy(&self, out: &mut [f32], x: &[f32]) -> Result<(), Infallible> {
        out.copy_from_slice(x);
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

impl Kernel for Blend<'_> {
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

struct Silu<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
}

impl Kernel for Silu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (out, x) in self.out.chunks_mut(LANES).zip(self.x.chunks(LANES)) {
            s.store_part(silu(s, s.load_or(x, 0.0)), out);
        }
    }
}
