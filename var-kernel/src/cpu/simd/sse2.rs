//! Vectors in SSE2, which every x86-64 has: four registers each.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use half::{bf16, f16};

use super::doubles::{self, Doubles};
use super::{LANES, Simd};

/// SSE2.
#[derive(Clone, Copy)]
pub(crate) struct Sse2(());

impl Sse2 {
    /// The proof: this was compiled for SSE2.
    pub(crate) fn detect() -> Option<Self> {
        cfg!(target_feature = "sse2").then_some(Self(()))
    }
}

/// Intrinsics, allowed because of the token in `self`.
macro_rules! sse2 {
    ($op:expr) => {
        // SAFETY: an `Sse2` exists only where SSE2 was compiled in; loads and stores stay inside the
        // arrays they borrow.
        unsafe { $op }
    };
}

/// `op` on each of the four registers.
macro_rules! quads {
    (|$i:ident| $op:expr) => {
        sse2!([
            {
                const $i: usize = 0;
                $op
            },
            {
                const $i: usize = 1;
                $op
            },
            {
                const $i: usize = 2;
                $op
            },
            {
                const $i: usize = 3;
                $op
            },
        ])
    };
}

impl Simd for Sse2 {
    type F32 = [__m128; 4];

    const MR: usize = 4;
    const NR_VECTORS: usize = 1;
    const CHAINS: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        sse2!([_mm_set1_ps(x); 4])
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        quads!(|I| _mm_loadu_ps(from[4 * I..].as_ptr()))
    }

    #[inline(always)]
    fn store(self, v: Self::F32, to: &mut [f32; LANES]) {
        quads!(|I| _mm_storeu_ps(to[4 * I..].as_mut_ptr(), v[I]));
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quads!(|I| _mm_add_ps(a[I], b[I]))
    }

    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quads!(|I| _mm_sub_ps(a[I], b[I]))
    }

    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quads!(|I| _mm_mul_ps(a[I], b[I]))
    }

    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quads!(|I| _mm_div_ps(a[I], b[I]))
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        doubles::mul_add(self, a, b, c)
    }

    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quads!(|I| _mm_min_ps(a[I], b[I]))
    }

    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quads!(|I| _mm_max_ps(a[I], b[I]))
    }

    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        quads!(|I| _mm_sqrt_ps(a[I]))
    }

    #[inline(always)]
    fn where_less(
        self,
        a: Self::F32,
        b: Self::F32,
        then: Self::F32,
        otherwise: Self::F32,
    ) -> Self::F32 {
        quads!(|I| {
            let less = _mm_cmplt_ps(a[I], b[I]);
            _mm_or_ps(_mm_and_ps(less, then[I]), _mm_andnot_ps(less, otherwise[I]))
        })
    }

    #[inline(always)]
    fn exp2_of_shifted(self, a: Self::F32) -> Self::F32 {
        quads!(|I| {
            let exponent = _mm_slli_epi32::<23>(_mm_castps_si128(a[I]));
            _mm_castsi128_ps(_mm_add_epi32(exponent, _mm_set1_epi32(0x3f80_0000)))
        })
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32 {
        self.load(&from.map(f16::to_f32))
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32 {
        quads!(|I| {
            let halves = _mm_loadl_epi64(from[4 * I..].as_ptr().cast());
            _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), halves))
        })
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> Self::F32 {
        self.load(&from.map(f32::from))
    }

    #[inline(always)]
    fn store_i8(self, v: Self::F32, to: &mut [i8; LANES]) {
        sse2!({
            let low = _mm_packs_epi32(_mm_cvtps_epi32(v[0]), _mm_cvtps_epi32(v[1]));
            let high = _mm_packs_epi32(_mm_cvtps_epi32(v[2]), _mm_cvtps_epi32(v[3]));
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packs_epi16(low, high));
        });
    }

    #[inline(always)]
    fn prefetch<T>(self, from: &[T]) {
        sse2!(_mm_prefetch::<_MM_HINT_T0>(from.as_ptr().cast()));
    }

    #[inline(always)]
    fn chains<const ROWS: usize, const VECTORS: usize>(
        self,
        sums: &mut [[Self::F32; VECTORS]; ROWS],
        a: &[f32],
        b: [&[[f32; LANES]]; VECTORS],
    ) {
        doubles::chains(self, sums, a, b);
    }
}

impl Doubles for Sse2 {
    type Quad = __m128;
    type Pair = __m128d;

    #[inline(always)]
    fn load_quad(self, from: &[f32; 4]) -> __m128 {
        sse2!(_mm_loadu_ps(from.as_ptr()))
    }

    #[inline(always)]
    fn store_quad(self, v: __m128, to: &mut [f32; 4]) {
        sse2!(_mm_storeu_ps(to.as_mut_ptr(), v));
    }

    #[inline(always)]
    fn widen(self, v: __m128) -> [__m128d; 2] {
        sse2!([_mm_cvtps_pd(v), _mm_cvtps_pd(_mm_movehl_ps(v, v))])
    }

    #[inline(always)]
    fn narrow(self, v: [__m128d; 2]) -> __m128 {
        sse2!(_mm_movelh_ps(_mm_cvtpd_ps(v[0]), _mm_cvtpd_ps(v[1])))
    }

    #[inline(always)]
    fn round(self, v: __m128d) -> __m128d {
        sse2!(_mm_cvtps_pd(_mm_cvtpd_ps(v)))
    }

    #[inline(always)]
    fn splat_pair(self, x: f32) -> __m128d {
        sse2!(_mm_set1_pd(f64::from(x)))
    }

    #[inline(always)]
    fn product_sum(self, a: __m128d, b: __m128d, c: __m128d) -> __m128d {
        sse2!(_mm_add_pd(_mm_mul_pd(a, b), c))
    }

    #[inline(always)]
    fn no_doubts(self) -> __m128 {
        sse2!(_mm_setzero_ps())
    }

    #[inline(always)]
    fn doubts(self, doubts: __m128, sum: __m128d) -> __m128 {
        let [low, high] = doubles::DOUBTS;
        sse2!({
            let bits = _mm_castpd_si128(sum);
            let bits = _mm_and_si128(bits, _mm_set_epi32(high.kept, low.kept, high.kept, low.kept));
            let off = _mm_set_epi32(high.offset, low.offset, high.offset, low.offset);
            let below = _mm_set_epi32(high.below, low.below, high.below, low.below);
            let more = _mm_cmplt_epi32(_mm_add_epi32(bits, off), below);
            _mm_or_ps(doubts, _mm_castsi128_ps(more))
        })
    }

    #[inline(always)]
    fn any(self, doubts: __m128) -> bool {
        sse2!(_mm_movemask_ps(doubts)) != 0
    }
}
