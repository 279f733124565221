//! resize on the CPU: one row of output cells a task, sixteen channels a vector.

use core::convert::Infallible;

use super::{Dims, Resize};
use crate::cpu::Cpu;
use crate::cpu::simd::{Kernel, LANES, Simd};

/// Cells that one cell of a cubic convolution is mixed from, along one axis.
const TAPS: usize = 4;

impl Resize for Cpu<'_> {
    fn bicubic(&self, out: &mut [f32], x: &[f32], d: Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        let isa = self.isa;
        self.for_each_run(out, (d.to * d.channels).max(1), |number, run, _| {
            isa.run(CubicRow { out: run, map: map_of(x, number, d), y: number % d.to, d });
        });
        Ok(())
    }

    fn area(&self, out: &mut [f32], x: &[f32], d: Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
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

impl Kernel for CubicRow<'_> {
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

impl Kernel for AreaRow<'_> {
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

/// Which input cells make output cell `i` along one axis, and with what weights.
///
/// The cell's centre lies at `(i + ½)·from/to − ½` on the input's grid.
fn cubic(i: usize, d: Dims) -> ([usize; TAPS], [f32; TAPS]) {
    let twice_to = 2 * d.to as i64;
    let centre = (2 * i as i64 + 1) * d.from as i64 - d.to as i64;
    let first = centre.div_euclid(twice_to) - 1;
    let t = centre.rem_euclid(twice_to) as f64 / twice_to as f64;
    let cells = [0, 1, 2, 3].map(|tap| (first + tap).clamp(0, d.from as i64 - 1) as usize);
    (cells, [1.0 + t, t, 1.0 - t, 2.0 - t].map(|distance| keys(distance) as f32))
}

/// Keys' kernel with a = −0.75.
fn keys(distance: f64) -> f64 {
    const A: f64 = -0.75;
    let x = distance;
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    }
}

/// Which input cells are averaged to output cell `i` along one axis.
fn area(i: usize, d: Dims) -> core::ops::Range<usize> {
    i * d.from / d.to..((i + 1) * d.from).div_ceil(d.to)
}
