//! group_norm on the CPU: statistics by chunks of positions, then one sweep that scales.
//!
//! The chunks depend on the sizes alone and are merged in their order, so which thread did which
//! chunk leaves no trace.

use core::convert::Infallible;

use super::{Activation, Dims, GroupNorm};
use crate::cpu::Cpu;
use crate::cpu::math::silu;
use crate::cpu::simd::{Kernel, LANES, Simd};

/// Groups whose statistics are kept at a time; more are done in turns.
const GROUPS: usize = 32;

/// The most chunks of a picture.
const CHUNKS: usize = 64;

/// Floats of a chunk's pieces (64 KiB), so that reading one twice is reading the cache.
const PIECE: usize = 1 << 14;

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
        if x.is_empty() {
            return Ok(());
        }
        let isa = self.isa;
        let Plan { piece, chunk, chunks } = Plan::of(d);
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
                    isa.run(Normalise { out, start, x, scale, shift, activation });
                });
            }
        }
        Ok(())
    }
}

/// How a picture's positions are cut up.
struct Plan {
    /// Positions of a piece: what stays in the cache between two sweeps.
    piece: usize,
    /// Positions of a chunk, a multiple of a piece: one task.
    chunk: usize,
    /// Chunks of a picture, at most [`CHUNKS`].
    chunks: usize,
}

impl Plan {
    fn of(d: Dims) -> Self {
        let piece = (PIECE / d.channels).max(8);
        let chunk = d.positions.div_ceil(CHUNKS).next_multiple_of(piece);
        Self { piece, chunk, chunks: d.positions.div_ceil(chunk) }
    }
}

/// Neighbouring columns of a matrix.
#[derive(Clone, Copy)]
struct Columns<'a> {
    /// The matrix from the first of the columns on.
    values: &'a [f32],
    /// From the start of a row to the start of the next.
    stride: usize,
}

/// Count, mean and sum of squared differences from the mean.
#[derive(Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    const NONE: Self = Self { count: 0.0, mean: 0.0, squares: 0.0 };

    /// Adds the numbers that `other` describes (Chan, Golub and LeVeque, "Updating formulae and a
    /// pairwise algorithm for computing sample variances", 1979).
    #[inline(always)]
    fn merge(&mut self, other: Self) {
        let count = self.count + other.count;
        let share = other.count / count;
        let difference = other.mean - self.mean;
        self.mean += difference * share;
        self.squares += other.squares + difference * difference * self.count * share;
        self.count = count;
    }
}

/// The moments of each group over one chunk's positions.
struct Measure<'a> {
    parts: &'a mut [Moments],
    x: Columns<'a>,
    positions: core::ops::Range<usize>,
    piece: usize,
    width: usize,
    scratch: &'a mut [f32],
}

impl Kernel for Measure<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let channels = self.parts.len() * self.width;
        let (means, squares) = self.scratch[..2 * channels].split_at_mut(channels);
        for first in self.positions.clone().step_by(self.piece) {
            let count = self.piece.min(self.positions.end - first);
            let rows = Columns { values: &self.x.values[first * self.x.stride..], ..self.x };
            sweep(s, means, squares, rows, count);
            let (means, squares) =
                (means.chunks_exact(self.width), squares.chunks_exact(self.width));
            for ((part, means), squares) in self.parts.iter_mut().zip(means).zip(squares) {
                part.merge(of_group(means, squares, count as f64));
            }
        }
    }
}

/// Each channel's mean and sum of squared differences over `count` rows.
#[inline(always)]
fn sweep<S: Simd>(s: S, means: &mut [f32], squares: &mut [f32], x: Columns<'_>, count: usize) {
    let blocks = means.chunks_mut(LANES).zip(squares.chunks_mut(LANES));
    for (block, (means, squares)) in blocks.enumerate() {
        let x = Columns { values: &x.values[block * LANES..], ..x };
        let sum = sums::<S, false>(s, x, means.len(), count, s.splat(0.0));
        let mean = s.div(sum, s.splat(count as f32));
        s.store_part(mean, means);
        s.store_part(sums::<S, true>(s, x, squares.len(), count, mean), squares);
    }
}

/// The first `lanes` columns' sums over `count` rows, of numbers or of squared differences from `mean`.
#[inline(always)]
fn sums<S: Simd, const SQUARED: bool>(
    s: S,
    x: Columns<'_>,
    lanes: usize,
    count: usize,
    mean: S::F32,
) -> S::F32 {
    /// Sums side by side: one alone would wait for its own last addition.
    const CHAINS: usize = 4;
    let mut sums = [s.splat(0.0); CHAINS];
    for first in (0..count).step_by(CHAINS) {
        for i in 0..CHAINS {
            if first + i < count {
                let values = s.load_or(&x.values[(first + i) * x.stride..][..lanes], 0.0);
                sums[i] = if SQUARED {
                    let difference = s.sub(values, mean);
                    s.mul_add(difference, difference, sums[i])
                } else {
                    s.add(sums[i], values)
                };
            }
        }
    }
    s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]))
}

/// The moments of a group from those of its channels, `count` numbers each.
#[inline(always)]
fn of_group(means: &[f32], squares: &[f32], count: f64) -> Moments {
    let channels = means.len() as f64;
    let mean = means.iter().fold(0.0, |sum, mean| sum + f64::from(*mean)) / channels;
    let mut sum = 0.0;
    for (channel, squares) in means.iter().zip(squares) {
        let difference = f64::from(*channel) - mean;
        sum += f64::from(*squares) + count * difference * difference;
    }
    Moments { count: count * channels, mean, squares: sum }
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
struct Normalise<'a> {
    /// Whole rows.
    out: &'a mut [f32],
    /// The first of the columns.
    start: usize,
    x: Columns<'a>,
    scale: &'a [f32],
    shift: &'a [f32],
    activation: Activation,
}

impl Kernel for Normalise<'_> {
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
