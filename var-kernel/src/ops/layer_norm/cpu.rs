//! Adaptive LayerNorm on the CPU.

use core::convert::Infallible;

use super::{Dims, LayerNorm};
use crate::cpu::Cpu;
use crate::cpu::simd::{LANES, Simd, SimdKernel};
use crate::ops::PerRow;

/// Rows in one task: enough to outweigh handing it out.
const ROWS_PER_TASK: usize = 8;

impl LayerNorm for Cpu<'_> {
    fn layer_norm(
        &self,
        out: &mut [f32],
        x: &[f32],
        scale: PerRow<'_, [f32]>,
        shift: PerRow<'_, [f32]>,
        eps: f32,
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), scale, shift);
        self.begin("layer_norm", 0, 4 * (out.len() + x.len()));
        let isa = self.isa;
        self.for_each_run(out, ROWS_PER_TASK * d.channels, |task, rows, _| {
            for (i, out) in rows.chunks_exact_mut(d.channels).enumerate() {
                let row = task * ROWS_PER_TASK + i;
                isa.run(LayerNormRow {
                    out,
                    x: &x[row * d.channels..][..d.channels],
                    scale: scale.row(row, d.channels),
                    shift: shift.row(row, d.channels),
                    eps,
                });
            }
        });
        Ok(())
    }
}

/// One row. Sums run over sixteen lanes (channel mod 16), which are then added by halves.
struct LayerNormRow<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    eps: f32,
}

impl SimdKernel for LayerNormRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.x.len() as f32;
        let mut sum = s.splat(0.0);
        for x in self.x.chunks(LANES) {
            sum = s.add(sum, s.load_or(x, 0.0));
        }
        let mean_of_row = s.sum(sum) / channels;
        let mean = s.splat(mean_of_row);

        let mut squares = s.splat(0.0);
        for x in self.x.chunks(LANES) {
            let centerd = s.sub(s.load_or(x, mean_of_row), mean);
            squares = s.mul_add(centerd, centerd, squares);
        }
        let deviation = s.sqrt(s.splat(s.sum(squares) / channels + self.eps));

        let modulation = self.scale.chunks(LANES).zip(self.shift.chunks(LANES));
        let rows = self.out.chunks_mut(LANES).zip(self.x.chunks(LANES));
        for ((out, x), (scale, shift)) in rows.zip(modulation) {
            let normal = s.div(s.sub(s.load_or(x, 0.0), mean), deviation);
            let factor = s.add(s.splat(1.0), s.load_or(scale, 0.0));
            s.store_part(s.mul_add(normal, factor, s.load_or(shift, 0.0)), out);
        }
    }
}
