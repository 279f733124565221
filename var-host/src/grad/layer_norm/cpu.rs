//! Gradients of the adaptive LayerNorm on the CPU. Mean and deviation are recomputed from x, which the
//! gradient reads anyway.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;
use var_kernel::ops::PerRow;
use var_kernel::ops::layer_norm::Dims;
use var_kernel::parts::simd::{LANES, Simd, SimdKernel};

use super::LayerNormBackward;
use crate::grad::table::TableSlice;

/// Rows in one task: enough to outweigh handing it out.
const ROWS_PER_TASK: usize = 8;

impl LayerNormBackward for Cpu<'_> {
    fn layer_norm_backward_x(
        &self,
        dx: &mut [f32],
        dy: &[f32],
        x: &[f32],
        scale: PerRow<'_, [f32]>,
        eps: f32,
        d: Dims,
    ) -> Result<(), Infallible> {
        let Dims { rows, channels } = d;
        assert_eq!(
            [dx.len(), dy.len(), x.len()],
            [rows * channels; 3],
            "layer_norm_backward_x: not rows × channels"
        );
        scale.check(rows, channels);
        let isa = self.isa();
        self.for_each_run(dx, ROWS_PER_TASK * channels, |task, dx, _| {
            for (i, dx) in dx.chunks_exact_mut(channels).enumerate() {
                let row = task * ROWS_PER_TASK + i;
                let from = row * channels..(row + 1) * channels;
                let (dy, x) = (&dy[from.clone()], &x[from]);
                isa.run(RowOfX { dx, dy, x, scale: scale.row(row, channels), eps });
            }
        });
        Ok(())
    }

    fn layer_norm_backward_scale(
        &self,
        dtable: &mut [f32],
        dy: &[f32],
        x: &[f32],
        part: TableSlice,
        eps: f32,
        d: Dims,
    ) -> Result<(), Infallible> {
        assert_eq!(x.len(), d.rows * d.channels, "layer_norm_backward_scale: not rows × channels");
        let isa = self.isa();
        for_each_table_row(self, dtable, dy, part, d, |sums, row, dy| {
            isa.run(RowOfScale { sums, dy, x: &x[row * d.channels..][..d.channels], eps });
        });
        Ok(())
    }

    fn layer_norm_backward_shift(
        &self,
        dtable: &mut [f32],
        dy: &[f32],
        part: TableSlice,
        d: Dims,
    ) -> Result<(), Infallible> {
        for_each_table_row(self, dtable, dy, part, d, |sums, _, dy| {
            for (sum, dy) in sums.iter_mut().zip(dy) {
                *sum += dy;
            }
        });
        Ok(())
    }
}

/// Calls `add` for each row of `dy`, in order within those that share a row of the table.
fn for_each_table_row(
    cpu: &Cpu<'_>,
    dtable: &mut [f32],
    dy: &[f32],
    part: TableSlice,
    d: Dims,
    add: impl Fn(&mut [f32], usize, &[f32]) + Sync,
) {
    let Dims { rows, channels } = d;
    assert_eq!(dy.len(), rows * channels, "layer_norm's gradient: dy is not rows × channels");
    let used = part.check(dtable.len(), rows, channels);
    cpu.for_each_run(&mut dtable[..used], part.stride, |number, row, _| {
        let sums = &mut row[part.start..part.start + channels];
        for r in number * part.rows..rows.min((number + 1) * part.rows) {
            add(sums, r, &dy[r * channels..][..channels]);
        }
    });
}

/// Mean and deviation of a row, as the forward pass has them.
#[inline(always)]
fn moments<S: Simd>(s: S, x: &[f32], eps: f32) -> (S::F32, S::F32) {
    let channels = x.len() as f32;
    let mut sum = s.splat(0.0);
    for x in x.chunks(LANES) {
        sum = s.add(sum, s.load_or(x, 0.0));
    }
    let mean_of_row = s.sum(sum) / channels;
    let mean = s.splat(mean_of_row);
    let mut squares = s.splat(0.0);
    for x in x.chunks(LANES) {
        let centerd = s.sub(s.load_or(x, mean_of_row), mean);
        squares = s.mul_add(centerd, centerd, squares);
    }
    (mean, s.sqrt(s.splat(s.sum(squares) / channels + eps)))
}

struct RowOfX<'a> {
    dx: &'a mut [f32],
    dy: &'a [f32],
    x: &'a [f32],
    scale: &'a [f32],
    eps: f32,
}

impl SimdKernel for RowOfX<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { dx, dy, x, scale, eps } = self;
        let channels = x.len() as f32;
        let (mean, deviation) = moments(s, x, eps);
        let one = s.splat(1.0);
        let (mut of_g, mut of_gn) = (s.splat(0.0), s.splat(0.0));
        for ((dy, x), scale) in dy.chunks(LANES).zip(x.chunks(LANES)).zip(scale.chunks(LANES)) {
            // Lanes past the end hold dy = 0, and so add nothing.
            let g = s.mul(s.load_or(dy, 0.0), s.add(one, s.load_or(scale, 0.0)));
            let n = s.div(s.sub(s.load_or(x, 0.0), mean), deviation);
            of_g = s.add(of_g, g);
            of_gn = s.mul_add(g, n, of_gn);
        }
        let (mean_g, mean_gn) = (s.splat(s.sum(of_g) / channels), s.splat(s.sum(of_gn) / channels));
        let operands = dy.chunks(LANES).zip(x.chunks(LANES)).zip(scale.chunks(LANES));
        for (dx, ((dy, x), scale)) in dx.chunks_mut(LANES).zip(operands) {
            let g = s.mul(s.load_or(dy, 0.0), s.add(one, s.load_or(scale, 0.0)));
            let n = s.div(s.sub(s.load_or(x, 0.0), mean), deviation);
            let inner = s.sub(s.sub(g, mean_g), s.mul(n, mean_gn));
            s.store_part(s.add(s.load_or(dx, 0.0), s.div(inner, deviation)), dx);
        }
    }
}

struct RowOfScale<'a> {
    sums: &'a mut [f32],
    dy: &'a [f32],
    x: &'a [f32],
    eps: f32,
}

impl SimdKernel for RowOfScale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (mean, deviation) = moments(s, self.x, self.eps);
        let operands = self.dy.chunks(LANES).zip(self.x.chunks(LANES));
        for (sums, (dy, x)) in self.sums.chunks_mut(LANES).zip(operands) {
            let n = s.div(s.sub(s.load_or(x, 0.0), mean), deviation);
            s.store_part(s.mul_add(s.load_or(dy, 0.0), n, s.load_or(sums, 0.0)), sums);
        }
    }
}
