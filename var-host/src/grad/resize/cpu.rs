//! Gradients of resizing on the CPU: one row of input cells a task.
//!
//! The output's rows are first mixed to one, then its cells go where they came from.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;
use var_kernel::ops::resize::{Dims, weights};
use var_kernel::parts::simd::{LANES, Simd, SimdKernel};

use super::ResizeBackward;

impl ResizeBackward for Cpu<'_> {
    fn bicubic_backward(&self, dx: &mut [f32], dout: &[f32], d: Dims) -> Result<(), Infallible> {
        backward(self, dx, dout, d, |i, each| {
            let (cells, weights) = weights::cubic(i, d);
            cells.into_iter().zip(weights).for_each(|(cell, weight)| each(cell, weight));
        });
        Ok(())
    }

    fn area_backward(&self, dx: &mut [f32], dout: &[f32], d: Dims) -> Result<(), Infallible> {
        backward(self, dx, dout, d, |i, each| {
            let cells = weights::area(i, d);
            let weight = 1.0 / cells.len() as f32;
            cells.for_each(|cell| each(cell, weight));
        });
        Ok(())
    }
}

/// `along(i, each)` tells `each` the input cells that make output cell i of an axis, and their weights.
fn backward(
    cpu: &Cpu<'_>,
    dx: &mut [f32],
    dout: &[f32],
    d: Dims,
    along: impl Fn(usize, &mut dyn FnMut(usize, f32)) + Sync,
) {
    let Dims { batch, from, to, channels } = d;
    assert_eq!(dx.len(), batch * from * from * channels, "resize's gradient: not batch × from²");
    assert_eq!(dout.len(), batch * to * to * channels, "resize's gradient: not batch × to²");
    let isa = cpu.isa();
    let line = to * channels;
    cpu.for_each_run(dx, (from * channels).max(1), |number, dx, scratch| {
        let (map, y) = (&dout[number / from * to * line..][..to * line], number % from);
        let mixed = &mut scratch[..line];
        mixed.fill(0.0);
        for (v, row) in map.chunks_exact(line.max(1)).enumerate() {
            along(v, &mut |cell, factor| {
                if cell == y {
                    isa.run(AddMultiple { out: mixed, x: row, factor });
                }
            });
        }
        for (u, cell_of_out) in mixed.chunks_exact(channels).enumerate() {
            along(u, &mut |x, factor| {
                let out = &mut dx[x * channels..][..channels];
                isa.run(AddMultiple { out, x: cell_of_out, factor });
            });
        }
    });
}

/// `out += factor · x`
struct AddMultiple<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    factor: f32,
}

impl SimdKernel for AddMultiple<'_> {
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
