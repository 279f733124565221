//! Integer dot products in NEON with the extension FEAT_DotProd; without, [`super::PlainDot`].
#![allow(unsafe_code)]

use core::arch::aarch64::*;
use core::arch::asm;

use super::Dot;
use crate::cpu::simd::Neon;

/// FEAT_DotProd over NEON: signed by signed.
#[derive(Clone, Copy)]
pub(crate) struct Sdot(());

impl Sdot {
    /// The proof, if this machine has it.
    pub(crate) fn of(neon: Neon) -> Option<Self> {
        neon.has_dot_products().then_some(Self(()))
    }
}

/// Intrinsics, allowed because of the token in `self`.
macro_rules! sdot {
    ($op:expr) => {
        // SAFETY: an `Sdot` exists only where `Neon` found FEAT_DotProd.
        unsafe { $op }
    };
}

impl Dot<Neon> for Sdot {
    type I32 = [int32x4_t; 4];

    const MR: usize = 3;
    const NR_VECTORS: usize = 1;
    const WORDS: usize = 1;
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn weights(self, groups: [float32x4_t; 4]) -> [[float32x4_t; 4]; 2] {
        [groups; 2]
    }

    #[inline(always)]
    fn splat(self, x: i32) -> Self::I32 {
        sdot!([vdupq_n_s32(x); 4])
    }

    #[inline(always)]
    fn dot(self, sums: Self::I32, weights: [float32x4_t; 4], activations: f32) -> Self::I32 {
        let x = sdot!(vdupq_n_f32(activations));
        let mut out = sums;
        for i in 0..4 {
            // (The intrinsic `vdotq_s32` is unstable.)
            sdot!(asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {weights:v}.16b, {x:v}.16b",
                sums = inout(vreg) out[i],
                weights = in(vreg) weights[i],
                x = in(vreg) x,
                options(pure, nomem, nostack, preserves_flags)
            ));
        }
        out
    }

    #[inline(always)]
    fn to_f32(self, sums: Self::I32) -> [float32x4_t; 4] {
        sdot!([
            vcvtq_f32_s32(sums[0]),
            vcvtq_f32_s32(sums[1]),
            vcvtq_f32_s32(sums[2]),
            vcvtq_f32_s32(sums[3]),
        ])
    }
}
