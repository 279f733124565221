//! One pass over memory on the CPU.

use core::convert::Infallible;

use super::{
    Combine, PlaceDims, check_codes, check_embedding, check_gated, check_kept, check_scale_rows,
    check_table,
};
use crate::cpu::Cpu;
use crate::cpu::math::{gelu, silu};
use crate::cpu::simd::{Kernel, LANES, Simd};
use crate::ops::PerRow;

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

    fn gelu(&self, out: &mut [f32], x: &[f32]) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "gelu: lengths differ");
        let isa = self.isa;
        self.for_each_run(out, RUN, |number, out, _| {
            isa.run(Gelu { out, x: &x[number * RUN..] });
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
        self.for_each_run(out, width.max(1), |row, out, _| {
            for (out, x) in out.iter_mut().zip(&x[row * width..]) {
                *out = x * factors[row];
            }
        });
        Ok(())
    }

    fn place_rows(&self, out: &mut [f32], x: &[f32], d: PlaceDims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        let rows = out.chunks_exact_mut(d.stride).zip(x.chunks_exact(d.width));
        for (out, x) in rows {
            out[d.start..d.start + d.width].copy_from_slice(x);
        }
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

    fn codes(
        &self,
        out: &mut [f32],
        codebook: &[f32],
        tokens: &[u32],
        width: usize,
    ) -> Result<(), Infallible> {
        check_codes(out.len(), codebook.len(), tokens.len(), width);
        for (row, token) in out.chunks_exact_mut(width).zip(tokens) {
            match codebook.chunks_exact(width).nth(*token as usize) {
                Some(code) => row.copy_from_slice(code),
                None => row.fill(f32::NAN),
            }
        }
        Ok(())
    }

    fn keep_tokens(
        &self,
        tokens: &mut [u32],
        given: &[u32],
        kept: &[bool],
    ) -> Result<(), Infallible> {
        check_kept(tokens.len(), given.len(), kept.len());
        for (cell, (token, given)) in tokens.iter_mut().zip(given).enumerate() {
            if kept[cell % kept.len()] {
                *token = *given;
            }
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

struct Gelu<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
}

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (out, x) in self.out.chunks_mut(LANES).zip(self.x.chunks(LANES)) {
            s.store_part(gelu(s, s.load_or(x, 0.0)), out);
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

impl Kernel for Gated<'_> {
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
