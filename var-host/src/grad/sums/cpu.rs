//! Sums over rows on the CPU: each task makes some columns' sums.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;
use var_kernel::parts::simd::{LANES, Simd, SimdKernel};

use super::{Dims, Sums};

/// Columns in one task at most; narrow matrices are cut into as many tasks as they have vectors.
const COLUMNS: usize = 4 * LANES;

/// Floats in one task of a single pass.
const RUN: usize = 1 << 14;

impl Sums for Cpu<'_> {
    fn sum_rows(&self, out: &mut [f32], x: &[f32], d: Dims) -> Result<(), Infallible> {
        assert_eq!(x.len(), d.rows * d.stride, "sum_rows: x is not rows × stride");
        assert!(d.start + out.len() <= d.stride, "sum_rows: the part reaches over the row");
        let isa = self.isa();
        let columns = if out.len() < 4 * COLUMNS { LANES } else { COLUMNS };
        self.for_each_run(out, columns, |number, out, _| {
            isa.run(SumRows {
                out,
                x: &x[d.start + number * columns..],
                stride: d.stride,
                rows: d.rows,
            });
        });
        Ok(())
    }

    fn add_scaled(&self, out: &mut [f32], x: &[f32], factor: f32) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "add_scaled: lengths differ");
        let isa = self.isa();
        self.for_each_run(out, RUN, |number, out, _| {
            isa.run(AddScaled { out, x: &x[number * RUN..], factor });
        });
        Ok(())
    }

    fn fill(&self, out: &mut [f32], value: f32) -> Result<(), Infallible> {
        self.for_each_run(out, RUN, |_, out, _| out.fill(value));
        Ok(())
    }
}

/// At most [`COLUMNS`] sums.
struct SumRows<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    stride: usize,
    rows: usize,
}

impl SimdKernel for SumRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { out, x, stride, rows } = self;
        let mut sums = [s.splat(0.0); COLUMNS / LANES];
        for (sum, out) in sums.iter_mut().zip(out.chunks(LANES)) {
            *sum = s.load_or(out, 0.0);
        }
        for row in 0..rows {
            let row = &x[row * stride..][..out.len()];
            for (sum, x) in sums.iter_mut().zip(row.chunks(LANES)) {
                *sum = s.add(*sum, s.load_or(x, 0.0));
            }
        }
        for (sum, out) in sums.iter().zip(out.chunks_mut(LANES)) {
            s.store_part(*sum, out);
        }
    }
}

struct AddScaled<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    factor: f32,
}

impl SimdKernel for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let factor = s.splat(self.factor);
        for (out, x) in self.out.chunks_mut(LANES).zip(self.x.chunks(LANES)) {
            let sum = s.mul_add(s.load_or(x, 0.0), factor, s.load_or(out, 0.0));
            s.store_part(sum, out);
        }
    }
}
