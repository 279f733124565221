//! group_norm on the CPU: [moments](super::moments), then one sweep that scales.

use core::convert::Infallible;

use super::moments::{CHUNKS, Columns, GROUPS, Measure, Moments, MomentsPlan};
use super::{Activation, Dims, GroupNorm};
use crate::cpu::Cpu;
use crate::cpu::math::silu;
use crate::cpu::simd::{LANES, Simd, SimdKernel};

impl GroupNorm for Cpu<'_> {
    fn group_norm(
        &self,
        out: &mut [f32],
        x: &[f32],
        weight: &[f32],
        bias: &[f32],
        eps: f32,
        activation: Activation,
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.len(), bias.len());
        self.begin("group_norm", 0, 4 * (out.len() + x.len()));
        if x.is_empty() {
            return Ok(());
        }
        self.scratch_len("group_norm", scratch_len(d));
        let isa = self.isa;
        let MomentsPlan { piece, chunk, chunks } = MomentsPlan::of(d);
        let width = d.channels / d.groups;
        let picture = d.positions * d.channels;
        for (out, x) in out.chunks_exact_mut(picture).zip(x.chunks_exact(picture)) {
            for first in (0..d.groups).step_by(GROUPS) {
                let groups = GROUPS.min(d.groups - first);
                let columns = first * width..(first + groups) * width;
                let x = Columns { values: &x[columns.start..], stride: d.channels };

                let mut parts = [Moments::NONE; CHUNKS * GROUPS];
                let parts = &mut parts[..chunks * groups];
                self.for_each_run(parts, groups, |number, parts, scratch| {
                    let positions = number * chunk..d.positions.min((number + 1) * chunk);
                    isa.run(Measure { parts, x, positions, piece, width, scratch });
                });
                let mut moments = [Moments::NONE; GROUPS];
                for part in parts.chunks_exact(groups) {
                    for (sum, part) in moments.iter_mut().zip(part) {
                        sum.merge(*part);
                    }
                }

                let moments = &moments[..groups];
                let (weight, bias) = (&weight[columns.clone()], &bias[columns.clone()]);
                let row = d.channels;
                self.for_each_run(out, chunk * row, |number, out, scratch| {
                    let (scale, shift) = scratch[..2 * columns.len()].split_at_mut(columns.len());
                    scale_and_shift(scale, shift, moments, weight, bias, eps, width);
                    let x = Columns { values: &x.values[number * chunk * row..], ..x };
                    let start = columns.start;
                    isa.run(Normalize { out, start, x, scale, shift, activation });
                });
            }
        }
        Ok(())
    }
}

/// Floats of scratch memory that a thread wants: two for each channel of the groups in turn.
pub(crate) fn scratch_len(d: Dims) -> usize {
    2 * d.channels / d.groups * GROUPS.min(d.groups)
}

/// `scale` and `shift` with `out = x · scale + shift` for each channel.
fn scale_and_shift(
    scale: &mut [f32],
    shift: &mut [f32],
    moments: &[Moments],
    weight: &[f32],
    bias: &[f32],
    eps: f32,
    width: usize,
) {
    for c in 0..scale.len() {
        let Moments { count, mean, squares } = moments[c / width];
        let factor = f64::from(weight[c]) / libm::sqrt(squares / count + f64::from(eps));
        scale[c] = factor as f32;
        shift[c] = (f64::from(bias[c]) - mean * factor) as f32;
    }
}

/// The last sweep over one chunk.
struct Normalize<'a> {
    /// Whole rows.
    out: &'a mut [f32],
    /// The first of the columns.
    start: usize,
    x: Columns<'a>,
    scale: &'a [f32],
    shift: &'a [f32],
    activation: Activation,
}

impl SimdKernel for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.scale.len();
        for (row, out) in self.out.chunks_exact_mut(self.x.stride).enumerate() {
            let x = &self.x.values[row * self.x.stride..][..channels];
            let blocks = out[self.start..][..channels].chunks_mut(LANES);
            for (block, out) in blocks.enumerate() {
                let range = block * LANES..block * LANES + out.len();
                let scale = s.load_or(&self.scale[range.clone()], 0.0);
                let shift = s.load_or(&self.shift[range.clone()], 0.0);
                let y = s.mul_add(s.load_or(&x[range], 0.0), scale, shift);
                let y = if self.activation == Activation::Silu { silu(s, y) } else { y };
                s.store_part(y, out);
            }
        }
    }
}
