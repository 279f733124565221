//! resize on the CPU: one row of output cells a task, sixteen channels a vector.

use core::convert::Infallible;

use super::weights::{area, cubic};
use super::{Dims, Resize};
use crate::cpu::Cpu;
use crate::cpu::simd::{LANES, Simd, SimdKernel};

impl Resize for Cpu<'_> {
    fn bicubic(&self, out: &mut [f32], x: &[f32], d: Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        self.begin("resize", 0, 4 * (out.len() + x.len()));
        let isa = self.isa;
        self.for_each_run(out, (d.to * d.channels).max(1), |number, run, _| {
            isa.run(CubicRow { out: run, map: map_of(x, number, d), y: number % d.to, d });
        });
        Ok(())
    }

    fn area(&self, out: &mut [f32], x: &[f32], d: Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        self.begin("resize", 0, 4 * (out.len() + x.len()));
        let isa = self.isa;
        self.for_each_run(out, (d.to * d.channels).max(1), |number, run, _| {
            isa.run(AreaRow { out: run, map: map_of(x, number, d), y: number % d.to, d });
        });
        Ok(())
    }
}

/// The map that row `number` of all output rows belongs to.
fn map_of(x: &[f32], number: usize, d: Dims) -> &[f32] {
    let size = d.from * d.from * d.channels;
    &x[number / d.to * size..][..size]
}

/// Row `y` of an enlarged map.
struct CubicRow<'a> {
    out: &'a mut [f32],
    map: &'a [f32],
    y: usize,
    d: Dims,
}

impl SimdKernel for CubicRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let d = self.d;
        let (rows, row_weights) = cubic(self.y, d);
        for (x, cell) in self.out.chunks_exact_mut(d.channels).enumerate() {
            let (columns, column_weights) = cubic(x, d);
            for (block, to) in cell.chunks_mut(LANES).enumerate() {
                let mut sum = s.splat(0.0);
                for (row, row_weight) in rows.iter().zip(row_weights) {
                    let mut across = s.splat(0.0);
                    for (column, column_weight) in columns.iter().zip(column_weights) {
                        let start = (row * d.from + column) * d.channels + block * LANES;
                        let from = s.load_or(&self.map[start..start + to.len()], 0.0);
                        across = s.mul_add(from, s.splat(column_weight), across);
                    }
                    sum = s.mul_add(across, s.splat(row_weight), sum);
                }
                s.store_part(sum, to);
            }
        }
    }
}

/// Row `y` of a shrunk map.
struct AreaRow<'a> {
    out: &'a mut [f32],
    map: &'a [f32],
    y: usize,
    d: Dims,
}

impl SimdKernel for AreaRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let d = self.d;
        let rows = area(self.y, d);
        for (x, cell) in self.out.chunks_exact_mut(d.channels).enumerate() {
            let columns = area(x, d);
            let count = s.splat((rows.len() * columns.len()) as f32);
            for (block, to) in cell.chunks_mut(LANES).enumerate() {
                let mut sum = s.splat(0.0);
                for row in rows.clone() {
                    for column in columns.clone() {
                        let start = (row * d.from + column) * d.channels + block * LANES;
                        sum = s.add(sum, s.load_or(&self.map[start..start + to.len()], 0.0));
                    }
                }
                s.store_part(s.div(sum, count), to);
            }
        }
    }
}
