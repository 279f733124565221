//! Queries, keys and values on the CPU.

use core::convert::Infallible;

use super::{Dims, LONGEST_LOG, Normalization, SHORTEST, SplitQkv};
use crate::cpu::Cpu;
use crate::cpu::math::exp_one;
use crate::cpu::simd::{LANES, Simd, SimdKernel};

impl SplitQkv for Cpu<'_> {
    fn split_qkv(
        &self,
        q: &mut [f32],
        k: &mut [f32],
        v: &mut [f32],
        qkv: &[f32],
        biases: Option<[&[f32]; 2]>,
        normalization: Normalization<'_, [f32]>,
        d: Dims,
    ) -> Result<(), Infallible> {
        let (unit_length, scale) = match normalization {
            Normalization::None => (false, None),
            Normalization::UnitLength { scale } => (true, Some(scale)),
        };
        let lengths = biases.map(|biases| biases.map(<[f32]>::len));
        d.check(q.len(), [k.len(), v.len()], qkv.len(), lengths, scale.map(<[f32]>::len));
        self.begin("split_qkv", 0, 8 * qkv.len());

        let (isa, sequence) = (self.isa, d.rows * d.width());
        let part = |number, bias, unit_length, scale| {
            let (width, head_width) = (d.width(), d.head_width);
            Part { qkv: &[], number, bias, unit_length, scale, width, head_width }
        };
        let queries = part(0, biases.map(|b| b[0]), unit_length, scale);
        let keys = part(1, None, unit_length, None);
        let values = part(2, biases.map(|b| b[1]), false, None);

        let of = |b: usize| &qkv[3 * b * sequence..][..3 * sequence];
        self.for_each_run(q, sequence, |b, out, _| {
            isa.run(Fill(Part { qkv: of(b), ..queries }, out))
        });
        for (cache, part) in [(k, keys), (v, values)] {
            self.for_each_run(cache, d.capacity * d.width(), |b, rows, _| {
                let new = &mut rows[d.start * d.width()..][..sequence];
                isa.run(Fill(Part { qkv: of(b), ..part }, new));
            });
        }
        Ok(())
    }
}

/// One third (q, k or v) of one sequence's rows, and its normalization.
#[derive(Clone, Copy)]
struct Part<'a> {
    qkv: &'a [f32],
    number: usize,
    bias: Option<&'a [f32]>,
    unit_length: bool,
    scale: Option<&'a [f32]>,
    width: usize,
    head_width: usize,
}

struct Fill<'a>(Part<'a>, &'a mut [f32]);

impl SimdKernel for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(part, out) = self;
        let rows = out.chunks_exact_mut(part.width).zip(part.qkv.chunks_exact(3 * part.width));
        for (out, row) in rows {
            out.copy_from_slice(&row[part.number * part.width..][..part.width]);
            if let Some(bias) = part.bias {
                for (x, bias) in out.iter_mut().zip(bias) {
                    *x += bias;
                }
            }
            if part.unit_length {
                for (head, vector) in out.chunks_exact_mut(part.head_width).enumerate() {
                    make_unit_length(s, vector, part.scale.map(|scale| scale[head]));
                }
            }
        }
    }
}

/// `v = v / max(‖v‖, 1e-12) · exp(min(log_scale, ln 100))`; the squares run over sixteen lanes.
#[inline(always)]
fn make_unit_length<S: Simd>(s: S, vector: &mut [f32], log_scale: Option<f32>) {
    let mut squares = s.splat(0.0);
    for part in vector.chunks(LANES) {
        let x = s.load_or(part, 0.0);
        squares = s.mul_add(x, x, squares);
    }
    let length = s.max(s.sqrt(s.splat(s.sum(squares))), s.splat(SHORTEST));
    let factor = s.splat(log_scale.map_or(1.0, |log| exp_one(s, log.min(LONGEST_LOG))));
    for part in vector.chunks_mut(LANES) {
        s.store_part(s.mul(s.div(s.load_or(part, 0.0), length), factor), part);
    }
}
