//! Vectors in AVX2: two registers each.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use half::{bf16, f16};

use super::{LANES, Simd};

/// AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

cpufeatures::new!(avx2, "avx2", "fma");

impl Avx2 {
    /// The proof, if this machine has it.
    pub(crate) fn detect() -> Option<Self> {
        // `cpufeatures` does not know F16C: bit 29 of ECX of CPUID leaf 1.
        let f16c = || __cpuid(1).ecx & (1 << 29) != 0;
        (avx2::get() && f16c()).then_some(Self(()))
    }
}

/// Intrinsics, allowed because of the token in `self`.
macro_rules! avx2 {
    ($op:expr) => {
        // SAFETY: an `Avx2` exists only where `detect` found these features; loads and stores stay
        // inside the arrays they borrow.
        unsafe { $op }
    };
}

impl Simd for Avx2 {
    type F32 = [__m256; 2];

    const MR: usize = 6;
    const NR_VECTORS: usize = 1;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        avx2!([_mm256_set1_ps(x); 2])
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        avx2!([_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from[8..].as_ptr())])
    }

    #[inline(always)]
    fn store(self, v: Self::F32, to: &mut [f32; LANES]) {
        avx2!(_mm256_storeu_ps(to.as_mut_ptr(), v[0]));
        avx2!(_mm256_storeu_ps(to[8..].as_mut_ptr(), v[1]));
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        avx2!([_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        avx2!([_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        avx2!([_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        avx2!([_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        avx2!([_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])])
    }

    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        avx2!([_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        avx2!([_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        avx2!([_mm256_sqrt_ps(a[0]), _mm256_sqrt_ps(a[1])])
    }

    #[inline(always)]
    fn where_less(
        self,
        a: Self::F32,
        b: Self::F32,
        then: Self::F32,
        otherwise: Self::F32,
    ) -> Self::F32 {
        avx2!([
            _mm256_blendv_ps(otherwise[0], then[0], _mm256_cmp_ps::<_CMP_LT_OQ>(a[0], b[0])),
            _mm256_blendv_ps(otherwise[1], then[1], _mm256_cmp_ps::<_CMP_LT_OQ>(a[1], b[1])),
        ])
    }

    #[inline(always)]
    fn exp2_of_shifted(self, a: Self::F32) -> Self::F32 {
        avx2!({
            let one = _mm256_set1_epi32(0x3f80_0000);
            let low = _mm256_slli_epi32::<23>(_mm256_castps_si256(a[0]));
            let high = _mm256_slli_epi32::<23>(_mm256_castps_si256(a[1]));
            [
                _mm256_castsi256_ps(_mm256_add_epi32(low, one)),
                _mm256_castsi256_ps(_mm256_add_epi32(high, one)),
            ]
        })
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32 {
        avx2!([
            _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(from[8..].as_ptr().cast())),
        ])
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32 {
        avx2!({
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.as_ptr().cast()));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(from[8..].as_ptr().cast()));
            [
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)),
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high)),
            ]
        })
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> Self::F32 {
        avx2!({
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            [
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes))),
            ]
        })
    }

    #[inline(always)]
    fn store_i8(self, v: Self::F32, to: &mut [i8; LANES]) {
        avx2!({
            let (low, high) = (_mm256_cvtps_epi32(v[0]), _mm256_cvtps_epi32(v[1]));
            // Packing goes by halves of registers: quarters come as low, high, low, high.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
            let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packs_epi16(low, high));
        });
    }

    #[inline(always)]
    fn prefetch<T>(self, from: &[T]) {
        avx2!(_mm_prefetch::<_MM_HINT_T0>(from.as_ptr().cast()));
    }

    #[inline(always)]
    fn transpose(self, rows: [Self::F32; LANES]) -> [Self::F32; LANES] {
        let mut columns = rows;
        for row_half in 0..2 {
            for column_half in 0..2 {
                let mut block = [rows[0][0]; 8];
                for i in 0..8 {
                    block[i] = rows[8 * row_half + i][column_half];
                }
                let block = transpose_8(self, block);
                for i in 0..8 {
                    columns[8 * column_half + i][row_half] = block[i];
                }
            }
        }
        columns
    }
}

/// An 8 × 8 block: pairs of rows interleaved by ones, then twos, then fours.
#[inline(always)]
fn transpose_8(_proof: Avx2, rows: [__m256; 8]) -> [__m256; 8] {
    let mut a = rows;
    let mut b = rows;
    for i in (0..8).step_by(2) {
        b[i] = avx2!(_mm256_unpacklo_ps(a[i], a[i + 1]));
        b[i + 1] = avx2!(_mm256_unpackhi_ps(a[i], a[i + 1]));
    }
    for i in (0..8).step_by(4) {
        for j in 0..2 {
            let (low, high) = (b[i + j], b[i + j + 2]);
            a[i + 2 * j] = avx2!(_mm256_shuffle_ps::<0x44>(low, high));
            a[i + 2 * j + 1] = avx2!(_mm256_shuffle_ps::<0xee>(low, high));
        }
    }
    for j in 0..4 {
        b[j] = avx2!(_mm256_permute2f128_ps::<0x20>(a[j], a[j + 4]));
        b[j + 4] = avx2!(_mm256_permute2f128_ps::<0x31>(a[j], a[j + 4]));
    }
    b
}
