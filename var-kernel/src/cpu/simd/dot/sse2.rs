//! Integer dot products in SSE2.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::Dot;
use crate::cpu::simd::Sse2;

/// Pairs of sixteen-bit products in SSE2.
#[derive(Clone, Copy)]
pub(crate) struct Madd128(());

impl Madd128 {
    /// Any SSE2 will do.
    pub(crate) fn of(_: Sse2) -> Self {
        Self(())
    }
}

/// Intrinsics, allowed because of the token in `self`.
macro_rules! madd {
    ($op:expr) => {
        // SAFETY: a `Madd128` is made of an `Sse2`, which exists only where SSE2 was compiled in.
        unsafe { $op }
    };
}

impl Dot<Sse2> for Madd128 {
    type I32 = [__m128i; 4];

    const MR: usize = 2;
    const NR_VECTORS: usize = 1;
    const WORDS: usize = 2;
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn weights(self, groups: [__m128; 4]) -> [[__m128; 4]; 2] {
        let (mut evens, mut odds) = (groups, groups);
        for i in 0..4 {
            let groups = madd!(_mm_castps_si128(groups[i]));
            evens[i] = madd!(_mm_castsi128_ps(_mm_srai_epi16::<8>(_mm_slli_epi16::<8>(groups))));
            odds[i] = madd!(_mm_castsi128_ps(_mm_srai_epi16::<8>(groups)));
        }
        [evens, odds]
    }

    #[inline(always)]
    fn splat(self, x: i32) -> Self::I32 {
        madd!([_mm_set1_epi32(x); 4])
    }

    #[inline(always)]
    fn dot(self, sums: Self::I32, weights: [__m128; 4], activations: f32) -> Self::I32 {
        let x = madd!(_mm_set1_epi32(activations.to_bits() as i32));
        let mut out = sums;
        for i in 0..4 {
            out[i] = madd!(_mm_add_epi32(sums[i], _mm_madd_epi16(_mm_castps_si128(weights[i]), x)));
        }
        out
    }

    #[inline(always)]
    fn to_f32(self, sums: Self::I32) -> [__m128; 4] {
        madd!([
            _mm_cvtepi32_ps(sums[0]),
            _mm_cvtepi32_ps(sums[1]),
            _mm_cvtepi32_ps(sums[2]),
            _mm_cvtepi32_ps(sums[3]),
        ])
    }
}
