//! feature_distance on the CPU: sums of chunks of cells in `f64`, added up in their order.
//!
//! The chunks depend on the sizes alone, so which thread did which leaves no trace.

use core::convert::Infallible;

use super::{Dims, FeatureDistance, LEAST};
use crate::cpu::Cpu;
use crate::cpu::simd::{LANES, Simd, SimdKernel};

/// Chunks of an image.
const CHUNKS: usize = 32;

impl FeatureDistance for Cpu<'_> {
    fn feature_distance(
        &self,
        out: &mut [f32],
        a: &[f32],
        b: &[f32],
        weights: &[f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), a.len(), b.len(), weights.len());
        self.begin("feature_distance", 0, 4 * (a.len() + b.len()));
        let isa = self.isa;
        let (picture, chunk) = (d.cells * d.channels, d.cells.div_ceil(CHUNKS) * d.channels);
        for (number, out) in out.iter_mut().enumerate() {
            let of_picture = number * picture..(number + 1) * picture;
            let (a, b) = (&a[of_picture.clone()], &b[of_picture]);
            let mut sums = [0.0_f64; CHUNKS];
            self.for_each_run(&mut sums, 1, |part, sum, _| {
                let range = (part * chunk).min(picture)..((part + 1) * chunk).min(picture);
                let (a, b) = (&a[range.clone()], &b[range]);
                sum[0] = isa.run(Cells { a, b, weights });
            });
            *out = (sums.iter().sum::<f64>() / d.cells as f64) as f32;
        }
        Ok(())
    }
}

/// Some cells' distances, added up.
struct Cells<'a> {
    a: &'a [f32],
    b: &'a [f32],
    weights: &'a [f32],
}

impl SimdKernel for Cells<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let channels = self.weights.len();
        let mut sum = 0.0;
        for (a, b) in self.a.chunks_exact(channels).zip(self.b.chunks_exact(channels)) {
            let (a_length, b_length) = (s.splat(length(s, a)), s.splat(length(s, b)));
            let mut distance = s.splat(0.0);
            let pairs = a.chunks(LANES).zip(b.chunks(LANES));
            for ((a, b), weight) in pairs.zip(self.weights.chunks(LANES)) {
                let a = s.div(s.load_or(a, 0.0), a_length);
                let difference = s.sub(a, s.div(s.load_or(b, 0.0), b_length));
                let weighted = s.mul(s.load_or(weight, 0.0), difference);
                distance = s.mul_add(weighted, difference, distance);
            }
            sum += f64::from(s.sum(distance));
        }
        sum
    }
}

/// `‖x‖ + LEAST`
#[inline(always)]
fn length<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut squares = s.splat(0.0);
    for x in x.chunks(LANES) {
        let x = s.load_or(x, 0.0);
        squares = s.mul_add(x, x, squares);
    }
    libm::sqrtf(s.sum(squares)) + LEAST
}
