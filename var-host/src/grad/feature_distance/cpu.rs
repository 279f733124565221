//! The gradient of the distance between features on the CPU: some cells a task.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;
use var_kernel::ops::feature_distance::{Dims, LEAST};
use var_kernel::parts::simd::{LANES, Simd, SimdKernel};

use super::FeatureDistanceBackward;

/// Floats in one task, about: enough to outweigh handing it out.
const RUN: usize = 1 << 13;

impl FeatureDistanceBackward for Cpu<'_> {
    fn feature_distance_backward(
        &self,
        da: &mut [f32],
        dout: &[f32],
        a: &[f32],
        b: &[f32],
        weights: &[f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        assert_eq!(da.len(), a.len(), "feature_distance_backward: da is not as a");
        d.check(dout.len(), a.len(), b.len(), weights.len());
        let (isa, channels) = (self.isa(), d.channels);
        let cells = (RUN / channels).max(1);
        self.for_each_run(da, cells * channels, |number, da, _| {
            for (i, da) in da.chunks_exact_mut(channels).enumerate() {
                let cell = number * cells + i;
                let range = cell * channels..(cell + 1) * channels;
                let (a, b) = (&a[range.clone()], &b[range]);
                let factor = 2.0 * dout[cell / d.cells] / d.cells as f32;
                isa.run(Cell { da, a, b, weights, factor });
            }
        });
        Ok(())
    }
}

struct Cell<'a> {
    da: &'a mut [f32],
    a: &'a [f32],
    b: &'a [f32],
    weights: &'a [f32],
    factor: f32,
}

impl SimdKernel for Cell<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { da, a, b, weights, factor } = self;
        let (a_norm, b_norm) = (norm(s, a), norm(s, b));
        if a_norm == 0.0 {
            return;
        }
        let (a_length, b_length) = (s.splat(a_norm + LEAST), s.splat(b_norm + LEAST));
        let factor = s.splat(factor);
        let mut along = s.splat(0.0);
        let operands = a.chunks(LANES).zip(b.chunks(LANES)).zip(weights.chunks(LANES));
        for ((a, b), weight) in operands {
            let a = s.load_or(a, 0.0);
            let difference = s.sub(s.div(a, a_length), s.div(s.load_or(b, 0.0), b_length));
            let g = s.mul(s.mul(factor, s.load_or(weight, 0.0)), difference);
            along = s.mul_add(g, a, along);
        }
        let along = s.splat(s.sum(along) / a_norm / (a_norm + LEAST));
        let operands = a.chunks(LANES).zip(b.chunks(LANES)).zip(weights.chunks(LANES));
        for (da, ((a, b), weight)) in da.chunks_mut(LANES).zip(operands) {
            let a = s.load_or(a, 0.0);
            let difference = s.sub(s.div(a, a_length), s.div(s.load_or(b, 0.0), b_length));
            let g = s.mul(s.mul(factor, s.load_or(weight, 0.0)), difference);
            let turned = s.div(s.sub(g, s.mul(a, along)), a_length);
            s.store_part(s.add(s.load_or(da, 0.0), turned), da);
        }
    }
}

#[inline(always)]
fn norm<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut squares = s.splat(0.0);
    for x in x.chunks(LANES) {
        let x = s.load_or(x, 0.0);
        squares = s.mul_add(x, x, squares);
    }
    libm::sqrtf(s.sum(squares))
}
