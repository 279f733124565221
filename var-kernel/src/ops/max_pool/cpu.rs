//! max_pool on the CPU: one row of output cells a task.

use core::convert::Infallible;

use super::{Dims, MaxPool};
use crate::cpu::Cpu;
use crate::cpu::simd::{Kernel, LANES, Simd};

impl MaxPool for Cpu<'_> {
    fn max_pool(&self, out: &mut [f32], x: &[f32], d: Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        let (height, width) = d.out_grid();
        let isa = self.isa;
        self.for_each_run(out, (width * d.channels).max(1), |number, row, _| {
            for (column, out) in row.chunks_exact_mut(d.channels).enumerate() {
                let cells = d.cells(number / height, number % height, column);
                isa.run(Greatest { out, cells: cells.map(|at| &x[at..at + d.channels]) });
            }
        });
        Ok(())
    }
}

/// One cell.
struct Greatest<'a> {
    out: &'a mut [f32],
    cells: [&'a [f32]; 4],
}

impl Kernel for Greatest<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [a, b, c, d] = self.cells.map(|cell| cell.chunks(LANES));
        let upper = a.zip(b);
        let lower = c.zip(d);
        for (out, ((a, b), (c, d))) in self.out.chunks_mut(LANES).zip(upper.zip(lower)) {
            let upper = s.max(s.load_or(a, 0.0), s.load_or(b, 0.0));
            let lower = s.max(s.load_or(c, 0.0), s.load_or(d, 0.0));
            s.store_part(s.max(upper, lower), out);
        }
    }
}
