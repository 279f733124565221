//! Mean and variance of each group of channels on the CPU, by chunks of positions.
//!
//! The chunks depend on the sizes alone and are merged in their order, so which thread did which
//! chunk leaves no trace.

use super::Dims;
use crate::cpu::simd::{LANES, Simd, SimdKernel};

/// Groups with statistics kept at a time; more are done in turns.
pub(super) const GROUPS: usize = 32;

/// The most chunks of an image.
pub(super) const CHUNKS: usize = 64;

/// Floats of a chunk's pieces (64 KiB), so that reading one twice is reading the cache.
const PIECE: usize = 1 << 14;

/// Each group's mean and `1 / √(variance + eps)` of one image, on this thread; equal to the
/// bit to the forward pass's.
///
/// `x`: `positions × channels`. `means`, `factors`: `groups`. `scratch`: `2 · channels`.
///
/// # Panics
/// If a slice is too short.
#[inline(always)]
pub fn of_picture<S: Simd>(
    s: S,
    [means, factors]: [&mut [f32]; 2],
    x: &[f32],
    eps: f32,
    scratch: &mut [f32],
    d: Dims,
) {
    let MomentsPlan { piece, chunk, .. } = MomentsPlan::of(d);
    let width = d.channels / d.groups;
    for first in (0..d.groups).step_by(GROUPS) {
        let groups = GROUPS.min(d.groups - first);
        let x = Columns { values: &x[first * width..], stride: d.channels };
        let mut moments = [Moments::NONE; GROUPS];
        for start in (0..d.positions).step_by(chunk) {
            let mut parts = [Moments::NONE; GROUPS];
            let parts = &mut parts[..groups];
            let positions = start..d.positions.min(start + chunk);
            Measure { parts, x, positions, piece, width, scratch }.run(s);
            for (sum, part) in moments.iter_mut().zip(parts) {
                sum.merge(*part);
            }
        }
        for (group, moments) in (first..).zip(&moments[..groups]) {
            means[group] = moments.mean as f32;
            factors[group] = moments.factor(eps) as f32;
        }
    }
}

/// How an image's positions are cut up.
pub(super) struct MomentsPlan {
    /// Positions of a piece, small enough to stay in the cache between two sweeps.
    pub(super) piece: usize,
    /// Positions of a chunk, a multiple of a piece: one task.
    pub(super) chunk: usize,
    /// Chunks of an image, at most [`CHUNKS`].
    pub(super) chunks: usize,
}

impl MomentsPlan {
    pub(super) fn of(d: Dims) -> Self {
        let piece = (PIECE / d.channels).max(8);
        let chunk = d.positions.div_ceil(CHUNKS).next_multiple_of(piece);
        Self { piece, chunk, chunks: d.positions.div_ceil(chunk) }
    }
}

/// Neighboring columns of a matrix.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    /// The matrix from the first of the columns on.
    pub(super) values: &'a [f32],
    /// From the start of a row to the start of the next.
    pub(super) stride: usize,
}

/// Count, mean and sum of squared differences from the mean.
#[derive(Clone, Copy)]
pub(super) struct Moments {
    pub(super) count: f64,
    pub(super) mean: f64,
    pub(super) squares: f64,
}

impl Moments {
    pub(super) const NONE: Self = Self { count: 0.0, mean: 0.0, squares: 0.0 };

    /// Adds the numbers that `other` describes (Chan, Golub and LeVeque, "Updating formulae and a
    /// pairwise algorithm for computing sample variances", 1979).
    #[inline(always)]
    pub(super) fn merge(&mut self, other: Self) {
        let count = self.count + other.count;
        let share = other.count / count;
        let difference = other.mean - self.mean;
        self.mean += difference * share;
        self.squares += other.squares + difference * difference * self.count * share;
        self.count = count;
    }

    /// `1 / √(variance + eps)`
    #[inline(always)]
    pub(super) fn factor(self, eps: f32) -> f64 {
        1.0 / libm::sqrt(self.squares / self.count + f64::from(eps))
    }
}

/// The moments of each group over one chunk's positions.
pub(super) struct Measure<'a> {
    pub(super) parts: &'a mut [Moments],
    pub(super) x: Columns<'a>,
    pub(super) positions: core::ops::Range<usize>,
    pub(super) piece: usize,
    pub(super) width: usize,
    pub(super) scratch: &'a mut [f32],
}

impl SimdKernel for Measure<'_> {
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
