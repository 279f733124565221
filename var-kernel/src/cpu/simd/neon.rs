//! Vectors in NEON: four registers each.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use half::{bf16, f16};

use super::{LANES, Simd};

/// NEON, which every aarch64 has.
#[derive(Clone, Copy)]
pub(crate) struct Neon {
    dot_products: bool,
}

impl Neon {
    /// The proof, if this was compiled for NEON.
    pub(crate) fn detect() -> Option<Self> {
        cfg!(target_feature = "neon").then(|| Self { dot_products: dot_products() })
    }

    /// Whether this machine has FEAT_DotProd too.
    pub(crate) fn has_dot_products(self) -> bool {
        self.dot_products
    }

    /// As on a machine without FEAT_DotProd.
    #[cfg(test)]
    pub(crate) fn without_dot_products(self) -> Self {
        Self { dot_products: false }
    }
}

/// Whether the processor has FEAT_DotProd: by the compiler's word, or where the system lets a program ask.
fn dot_products() -> bool {
    #[cfg(all(not(target_feature = "dotprod"), any(target_os = "linux", target_os = "android")))]
    {
        let features: u64;
        // SAFETY: it only reads; Linux answers for this register since version 4.11.
        unsafe {
            core::arch::asm!(
                "mrs {}, ID_AA64ISAR0_EL1",
                out(reg) features,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        features >> 44 & 0xf != 0
    }
    #[cfg(not(all(
        not(target_feature = "dotprod"),
        any(target_os = "linux", target_os = "android")
    )))]
    {
        cfg!(target_feature = "dotprod")
    }
}

/// Intrinsics, allowed because of the token in `self`.
macro_rules! neon {
    ($op:expr) => {
        // SAFETY: a `Neon` exists only where NEON was compiled in; loads and stores stay inside the
        // arrays they borrow.
        unsafe { $op }
    };
}

/// `op` on each of the four registers.
macro_rules! quarters {
    (|$i:ident| $op:expr) => {
        neon!([
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

impl Simd for Neon {
    type F32 = [float32x4_t; 4];

    const MR: usize = 6;
    const NR_VECTORS: usize = 1;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        neon!([vdupq_n_f32(x); 4])
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        quarters!(|I| vld1q_f32(from[4 * I..].as_ptr()))
    }

    #[inline(always)]
    fn store(self, v: Self::F32, to: &mut [f32; LANES]) {
        quarters!(|I| vst1q_f32(to[4 * I..].as_mut_ptr(), v[I]));
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quarters!(|I| vaddq_f32(a[I], b[I]))
    }

    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quarters!(|I| vsubq_f32(a[I], b[I]))
    }

    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quarters!(|I| vmulq_f32(a[I], b[I]))
    }

    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quarters!(|I| vdivq_f32(a[I], b[I]))
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        quarters!(|I| vfmaq_f32(c[I], a[I], b[I]))
    }

    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quarters!(|I| vminq_f32(a[I], b[I]))
    }

    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quarters!(|I| vmaxq_f32(a[I], b[I]))
    }

    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        quarters!(|I| vsqrtq_f32(a[I]))
    }

    #[inline(always)]
    fn where_less(
        self,
        a: Self::F32,
        b: Self::F32,
        then: Self::F32,
        otherwise: Self::F32,
    ) -> Self::F32 {
        quarters!(|I| vbslq_f32(vcltq_f32(a[I], b[I]), then[I], otherwise[I]))
    }

    #[inline(always)]
    fn exp2_of_shifted(self, a: Self::F32) -> Self::F32 {
        quarters!(|I| {
            let exponent = vshlq_n_u32::<23>(vreinterpretq_u32_f32(a[I]));
            vreinterpretq_f32_u32(vaddq_u32(exponent, vdupq_n_u32(0x3f80_0000)))
        })
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32 {
        self.load(&from.map(f16::to_f32))
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32 {
        quarters!(|I| {
            let half = vld1_u16(from[4 * I..].as_ptr().cast());
            vreinterpretq_f32_u32(vshll_n_u16::<16>(half))
        })
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> Self::F32 {
        self.load(&from.map(f32::from))
    }
}
