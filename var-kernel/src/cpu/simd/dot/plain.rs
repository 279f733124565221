//! Integer dot products on every machine.

use super::{Dot, evens_and_odds};
use crate::cpu::simd::{LANES, Simd};

/// Products of sixteen-bit integers one by one, over any vectors.
#[derive(Clone, Copy)]
pub(crate) struct PlainDot<S>(pub(crate) S);

impl<S: Simd> Dot<S> for PlainDot<S> {
    type I32 = [i32; LANES];

    const MR: usize = 2;
    const NR_VECTORS: usize = 1;
    const WORDS: usize = 2;
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn weights(self, groups: S::F32) -> [S::F32; 2] {
        let mut lanes = [0.0; LANES];
        self.0.store(groups, &mut lanes);
        let mut words = [[0.0; LANES]; 2];
        for i in 0..LANES {
            let [even, odd] =
                evens_and_odds(lanes[i].to_bits().to_ne_bytes().map(|byte| byte as i8));
            (words[0][i], words[1][i]) = (even, odd);
        }
        [self.0.load(&words[0]), self.0.load(&words[1])]
    }

    #[inline(always)]
    fn splat(self, x: i32) -> Self::I32 {
        [x; LANES]
    }

    #[inline(always)]
    fn dot(self, sums: Self::I32, weights: S::F32, activations: f32) -> Self::I32 {
        let mut lanes = [0.0; LANES];
        self.0.store(weights, &mut lanes);
        let halves = |word: f32| {
            let bits = word.to_bits();
            [i32::from(bits as u16 as i16), i32::from((bits >> 16) as u16 as i16)]
        };
        let x = halves(activations);
        let mut out = sums;
        for i in 0..LANES {
            let w = halves(lanes[i]);
            out[i] += w[0] * x[0] + w[1] * x[1];
        }
        out
    }

    #[inline(always)]
    fn to_f32(self, sums: Self::I32) -> S::F32 {
        self.0.load(&sums.map(|sum| sum as f32))
    }
}
