//! Activations quantized at run time.

use core::ops::Range;

use super::layout::{GROUPS, row_len};
use crate::cpu::matrix::Q8_BLOCK;
use crate::cpu::simd::dot::{Dot, DotKernel, GROUP};
use crate::cpu::simd::{LANES, Simd};

/// The largest integer of an activation.
const LARGEST: f32 = 127.0;

/// 1.5·2²³: a number below 2²² that is added to it is rounded to an integer, halves to even.
const SHIFT: f32 = 12_582_912.0;

/// Quantizes `rows` of `x`, rows of `depth`, and packs their `blocks` into panels of [`Dot::MR`] rows laid
/// out `[block][scales, offsets, words of groups][row]`; the edge is zeros.
///
/// The offset is −[`Dot::OFFSET`] times the sum of the block's integers.
pub(super) struct QuantizeRows<'a> {
    pub(super) to: &'a mut [f32],
    pub(super) x: &'a [f32],
    pub(super) depth: usize,
    pub(super) rows: Range<usize>,
    pub(super) blocks: Range<usize>,
}

impl DotKernel for QuantizeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, D: Dot<S>>(self, s: S, _: D) {
        let Self { to, x, depth, rows, blocks } = self;
        let length = D::MR * row_len::<S, D>();
        let panels = to.chunks_exact_mut(blocks.len() * length);
        for (panel, first) in panels.zip(rows.clone().step_by(D::MR)) {
            for r in 0..D::MR {
                if first + r >= rows.end {
                    panel.iter_mut().skip(r).step_by(D::MR).for_each(|x| *x = 0.0);
                    continue;
                }
                let start = (first + r) * depth + blocks.start * Q8_BLOCK;
                let (row, _) = x[start..][..blocks.len() * Q8_BLOCK].as_chunks::<Q8_BLOCK>();
                for (x, to) in row.iter().zip(panel.chunks_exact_mut(length)) {
                    let (scale, integers, sum) = quantize(s, x);
                    to[r] = scale;
                    to[D::MR + r] = f32::from_bits((-D::OFFSET * sum as i32) as u32);
                    let (groups, _) = integers.as_chunks::<GROUP>();
                    for g in 0..GROUPS {
                        let words = D::activations(groups[g]);
                        for w in 0..D::WORDS {
                            to[(2 + g * D::WORDS + w) * D::MR + r] = words[w];
                        }
                    }
                }
            }
        }
    }
}

/// Scale, integers and their sum of a block.
///
/// A scale of 0, of zeros or of numbers too small for one, has integers 0. So has the scale ∞ of a block
/// with a number that is not finite, and 0 · ∞ makes the sums NaN.
#[inline(always)]
pub(super) fn quantize<S: Simd>(s: S, x: &[f32; Q8_BLOCK]) -> (f32, [i8; Q8_BLOCK], f32) {
    let infinity = s.splat(f32::INFINITY);
    let (parts, _) = x.as_chunks::<LANES>();
    let mut most = s.splat(0.0);
    for part in parts {
        let x = s.load(part);
        let size = s.max(x, s.sub(s.splat(0.0), x));
        // NaN is not less either.
        most = s.max(most, s.where_less(size, infinity, size, infinity));
    }
    let scale = s.greatest(most) / LARGEST;
    let (mut integers, mut sum) = ([0; Q8_BLOCK], 0.0);
    if scale > 0.0 && scale < f32::INFINITY {
        let (to, _) = integers.as_chunks_mut::<LANES>();
        let mut sums = s.splat(0.0);
        for (part, to) in parts.iter().zip(to) {
            let q = s.div(s.load(part), s.splat(scale));
            let q = s.min(s.max(q, s.splat(-LARGEST)), s.splat(LARGEST));
            let q = s.sub(s.add(q, s.splat(SHIFT)), s.splat(SHIFT));
            s.store_i8(q, to);
            sums = s.add(sums, q);
        }
        sum = s.sum(sums);
    }
    (scale, integers, sum)
}
