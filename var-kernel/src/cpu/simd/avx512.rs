//! Vectors in AVX-512: one register each.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use half::{bf16, f16};

use super::{LANES, Simd};

/// AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
pub(crate) struct Avx512 {
    vnni: bool,
}

cpufeatures::new!(avx512, "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma");

impl Avx512 {
    /// The proof, if this machine has it.
    pub(crate) fn detect() -> Option<Self> {
        // `cpufeatures` does not know VNNI: bit 11 of ECX of CPUID leaf 7, which a processor with AVX2 has.
        let vnni = || __cpuid_count(7, 0).ecx & (1 << 11) != 0;
        (avx512::get() && super::avx2::Avx2::detect().is_some()).then(|| Self { vnni: vnni() })
    }

    /// Whether this machine has AVX512-VNNI too.
    pub(crate) fn has_vnni(self) -> bool {
        self.vnni
    }

    /// As on a machine without VNNI.
    #[cfg(test)]
    pub(crate) fn without_vnni(self) -> Self {
        Self { vnni: false }
    }
}

/// Intrinsics, allowed because of the token in `self`.
macro_rules! avx512 {
    ($op:expr) => {
        // SAFETY: an `Avx512` exists only where `detect` found these features; loads and stores
        // go through references to whole arrays.
        unsafe { $op }
    };
}

impl Simd for Avx512 {
    type F32 = __m512;

    const MR: usize = 12;
    const NR_VECTORS: usize = 2;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        avx512!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        avx512!(_mm512_loadu_ps(from.as_ptr()))
    }

    #[inline(always)]
    fn store(self, v: __m512, to: &mut [f32; LANES]) {
        avx512!(_mm512_storeu_ps(to.as_mut_ptr(), v));
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        avx512!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        avx512!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        avx512!(_mm512_sqrt_ps(a))
    }

    #[inline(always)]
    fn where_less(self, a: __m512, b: __m512, then: __m512, otherwise: __m512) -> __m512 {
        avx512!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), otherwise, then))
    }

    #[inline(always)]
    fn exp2_of_shifted(self, a: __m512) -> __m512 {
        avx512!({
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(a));
            _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(0x3f80_0000)))
        })
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> __m512 {
        avx512!(_mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> __m512 {
        avx512!({
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        })
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> __m512 {
        avx512!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))))
    }

    #[inline(always)]
    fn store_i8(self, v: __m512, to: &mut [i8; LANES]) {
        avx512!({
            let bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
        });
    }

    #[inline(always)]
    fn prefetch<T>(self, from: &[T]) {
        avx512!(_mm_prefetch::<_MM_HINT_T0>(from.as_ptr().cast()));
    }

    #[inline(always)]
    fn transpose(self, rows: [__m512; LANES]) -> [__m512; LANES] {
        let mut a = rows;
        let mut b = rows;
        // Pairs of neighboring rows interleaved by ones, then twos, then fours, then eights.
        for i in (0..LANES).step_by(2) {
            b[i] = avx512!(_mm512_unpacklo_ps(a[i], a[i + 1]));
            b[i + 1] = avx512!(_mm512_unpackhi_ps(a[i], a[i + 1]));
        }
        for i in (0..LANES).step_by(4) {
            for j in 0..2 {
                let (low, high) = (b[i + j], b[i + j + 2]);
                a[i + 2 * j] = avx512!(_mm512_shuffle_ps::<0x44>(low, high));
                a[i + 2 * j + 1] = avx512!(_mm512_shuffle_ps::<0xee>(low, high));
            }
        }
        for i in (0..LANES).step_by(8) {
            for j in 0..4 {
                let (low, high) = (a[i + j], a[i + j + 4]);
                b[i + j] = avx512!(_mm512_shuffle_f32x4::<0x88>(low, high));
                b[i + j + 4] = avx512!(_mm512_shuffle_f32x4::<0xdd>(low, high));
            }
        }
        for j in 0..8 {
            a[j] = avx512!(_mm512_shuffle_f32x4::<0x88>(b[j], b[j + 8]));
            a[j + 8] = avx512!(_mm512_shuffle_f32x4::<0xdd>(b[j], b[j + 8]));
        }
        a
    }
}
