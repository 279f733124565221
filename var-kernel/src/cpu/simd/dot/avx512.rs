//! Integer dot products in AVX-512, with VNNI and without.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::Dot;
use crate::cpu::simd::Avx512;

/// VNNI over AVX-512: unsigned weights by signed activations.
#[derive(Clone, Copy)]
pub(crate) struct Vnni512(());

impl Vnni512 {
    /// The proof, if this machine has it.
    pub(crate) fn of(avx512: Avx512) -> Option<Self> {
        avx512.has_vnni().then_some(Self(()))
    }
}

/// Intrinsics, allowed because of the token in `self`.
macro_rules! vnni {
    ($op:expr) => {
        // SAFETY: a `Vnni512` exists only where `Avx512` found VNNI.
        unsafe { $op }
    };
}

impl Dot<Avx512> for Vnni512 {
    type I32 = __m512i;

    const MR: usize = 6;
    const NR_VECTORS: usize = 2;
    const WORDS: usize = 1;
    const OFFSET: i32 = 128;

    #[inline(always)]
    fn weights(self, groups: __m512) -> [__m512; 2] {
        let offset = vnni!(_mm512_castsi512_ps(_mm512_xor_si512(
            _mm512_castps_si512(groups),
            _mm512_set1_epi8(i8::MIN)
        )));
        [offset; 2]
    }

    #[inline(always)]
    fn splat(self, x: i32) -> __m512i {
        vnni!(_mm512_set1_epi32(x))
    }

    #[inline(always)]
    fn dot(self, sums: __m512i, weights: __m512, activations: f32) -> __m512i {
        vnni!(_mm512_dpbusd_epi32(
            sums,
            _mm512_castps_si512(weights),
            _mm512_set1_epi32(activations.to_bits() as i32)
        ))
    }

    #[inline(always)]
    fn to_f32(self, sums: __m512i) -> __m512 {
        vnni!(_mm512_cvtepi32_ps(sums))
    }
}

/// Pairs of sixteen-bit products in AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Madd512(());

impl Madd512 {
    /// Any AVX-512 with BW will do.
    pub(crate) fn of(_: Avx512) -> Self {
        Self(())
    }
}

/// Intrinsics, allowed because of the token in `self`.
macro_rules! madd {
    ($op:expr) => {
        // SAFETY: a `Madd512` is made of an `Avx512`, which exists only where F and BW were found.
        unsafe { $op }
    };
}

impl Dot<Avx512> for Madd512 {
    type I32 = __m512i;

    const MR: usize = 6;
    const NR_VECTORS: usize = 2;
    const WORDS: usize = 2;
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn weights(self, groups: __m512) -> [__m512; 2] {
        let groups = madd!(_mm512_castps_si512(groups));
        let evens = madd!(_mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(groups)));
        let odds = madd!(_mm512_srai_epi16::<8>(groups));
        madd!([_mm512_castsi512_ps(evens), _mm512_castsi512_ps(odds)])
    }

    #[inline(always)]
    fn splat(self, x: i32) -> __m512i {
        madd!(_mm512_set1_epi32(x))
    }

    #[inline(always)]
    fn dot(self, sums: __m512i, weights: __m512, activations: f32) -> __m512i {
        let x = madd!(_mm512_set1_epi32(activations.to_bits() as i32));
        madd!(_mm512_add_epi32(sums, _mm512_madd_epi16(_mm512_castps_si512(weights), x)))
    }

    #[inline(always)]
    fn to_f32(self, sums: __m512i) -> __m512 {
        madd!(_mm512_cvtepi32_ps(sums))
    }
}
