//! Gradients of the split on the CPU.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;
use var_kernel::ops::split_qkv::{Dims, LONGEST_LOG, Normalization, SHORTEST};
use var_kernel::parts::math::exp_one;
use var_kernel::parts::simd::{LANES, Simd, SimdKernel};

use super::SplitQkvBackward;

/// Rows in one task.
const ROWS_PER_TASK: usize = 8;

impl SplitQkvBackward for Cpu<'_> {
    fn split_qkv_backward(
        &self,
        dqkv: &mut [f32],
        gradients: [&[f32]; 3],
        qkv: &[f32],
        query_bias: Option<&[f32]>,
        normalization: Normalization<'_, [f32]>,
        d: Dims,
    ) -> Result<(), Infallible> {
        let (rows, width) = (d.batch * d.rows, d.width());
        assert!(
            d.start == 0 && d.capacity == d.rows,
            "split_qkv's gradient: rows were there before"
        );
        assert_eq!([dqkv.len(), qkv.len()], [3 * rows * width; 2], "not batch × rows × 3 × width");
        for gradient in gradients {
            assert_eq!(gradient.len(), rows * width, "a gradient is not batch × rows × width");
        }
        let isa = self.isa();
        self.for_each_run(dqkv, ROWS_PER_TASK * 3 * width, |task, dqkv, _| {
            for (i, dqkv) in dqkv.chunks_exact_mut(3 * width).enumerate() {
                let row = task * ROWS_PER_TASK + i;
                let qkv = &qkv[row * 3 * width..][..3 * width];
                for (part, into) in dqkv.chunks_exact_mut(width).enumerate() {
                    let (from, of) = (&gradients[part][row * width..][..width], part * width);
                    let scale = match normalization {
                        Normalization::UnitLength { scale } if part < 2 => scale,
                        _ => {
                            into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
                            continue;
                        }
                    };
                    let (bias, scale) =
                        if part == 0 { (query_bias, Some(scale)) } else { (None, None) };
                    for head in 0..d.heads {
                        let at = head * d.head_width..(head + 1) * d.head_width;
                        isa.run(Vector {
                            into: &mut into[at.clone()],
                            from: &from[at.clone()],
                            vector: &qkv[of..][at.clone()],
                            bias: bias.map(|bias| &bias[at]),
                            log_scale: scale.map(|scale| scale[head]),
                        });
                    }
                }
            }
        });
        Ok(())
    }

    fn split_qkv_backward_scale(
        &self,
        dscale: &mut [f32],
        dq: &[f32],
        q: &[f32],
        scale: &[f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        let (rows, width) = (d.batch * d.rows, d.width());
        assert_eq!([dscale.len(), scale.len()], [d.heads; 2], "split_qkv's gradient: not heads");
        assert_eq!([dq.len(), q.len()], [rows * width; 2], "not batch × rows × width");
        let isa = self.isa();
        self.for_each_run(dscale, 1, |head, sum, _| {
            // At the ceiling the scale no longer moves the result.
            if scale[head] < LONGEST_LOG {
                let (dq, q) = (&dq[head * d.head_width..], &q[head * d.head_width..]);
                sum[0] += isa.run(Dot { dq, q, rows, width, head_width: d.head_width });
            }
        });
        Ok(())
    }
}

/// One head's vector of one row.
struct Vector<'a> {
    into: &'a mut [f32],
    from: &'a [f32],
    vector: &'a [f32],
    bias: Option<&'a [f32]>,
    log_scale: Option<f32>,
}

impl Vector<'_> {
    #[inline(always)]
    fn part<S: Simd>(&self, s: S, at: usize) -> S::F32 {
        let end = self.vector.len().min(at + LANES);
        let x = s.load_or(&self.vector[at..end], 0.0);
        match self.bias {
            Some(bias) => s.add(x, s.load_or(&bias[at..end], 0.0)),
            None => x,
        }
    }
}

impl SimdKernel for Vector<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (mut squares, mut dot) = (s.splat(0.0), s.splat(0.0));
        for (i, from) in self.from.chunks(LANES).enumerate() {
            let x = self.part(s, i * LANES);
            squares = s.mul_add(x, x, squares);
            dot = s.mul_add(x, s.load_or(from, 0.0), dot);
        }
        let length = s.sqrt(s.splat(s.sum(squares)));
        let shortest = s.splat(SHORTEST);
        let kept = s.max(length, shortest);
        let factor = s.splat(self.log_scale.map_or(1.0, |log| exp_one(s, log.min(LONGEST_LOG))));
        let factor = s.div(factor, kept);
        // A vector shorter than the least length is divided by a constant.
        let along = s.where_less(
            length,
            shortest,
            s.splat(0.0),
            s.div(s.div(s.splat(s.sum(dot)), kept), kept),
        );
        for i in 0..self.from.len().div_ceil(LANES) {
            let part = i * LANES..self.from.len().min((i + 1) * LANES);
            let from = s.load_or(&self.from[part.clone()], 0.0);
            let across = s.sub(from, s.mul(self.part(s, i * LANES), along));
            let into = &mut self.into[part];
            s.store_part(s.mul_add(across, factor, s.load_or(into, 0.0)), into);
        }
    }
}

/// `Σ dq · q` of one head, over sixteen lanes, row by row.
struct Dot<'a> {
    dq: &'a [f32],
    q: &'a [f32],
    rows: usize,
    width: usize,
    head_width: usize,
}

impl SimdKernel for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut sum = s.splat(0.0);
        for row in 0..self.rows {
            let at = row * self.width..row * self.width + self.head_width;
            let vectors = self.dq[at.clone()].chunks(LANES).zip(self.q[at].chunks(LANES));
            for (dq, q) in vectors {
                sum = s.mul_add(s.load_or(dq, 0.0), s.load_or(q, 0.0), sum);
            }
        }
        s.sum(sum)
    }
}
