//! Integer dot products in simd128 of WebAssembly.

use core::arch::wasm32::*;

use super::Dot;
use crate::cpu::simd::Wasm;

/// Pairs of sixteen-bit products in simd128. (Whether relaxed SIMD's dot products of bytes saturate is the
/// engine's choice.)
#[derive(Clone, Copy)]
pub(crate) struct WasmDot;

impl Dot<Wasm> for WasmDot {
    type I32 = [v128; 4];

    const MR: usize = 2;
    const NR_VECTORS: usize = 1;
    const WORDS: usize = 2;
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn weights(self, groups: [v128; 4]) -> [[v128; 4]; 2] {
        let (mut evens, mut odds) = (groups, groups);
        for i in 0..4 {
            evens[i] = i16x8_shr(i16x8_shl(groups[i], 8), 8);
            odds[i] = i16x8_shr(groups[i], 8);
        }
        [evens, odds]
    }

    #[inline(always)]
    fn splat(self, x: i32) -> Self::I32 {
        [i32x4_splat(x); 4]
    }

    #[inline(always)]
    fn dot(self, sums: Self::I32, weights: [v128; 4], activations: f32) -> Self::I32 {
        let x = i32x4_splat(activations.to_bits() as i32);
        let mut out = sums;
        for i in 0..4 {
            out[i] = i32x4_add(sums[i], i32x4_dot_i16x8(weights[i], x));
        }
        out
    }

    #[inline(always)]
    fn to_f32(self, sums: Self::I32) -> [v128; 4] {
        sums.map(|sums| f32x4_convert_i32x4(sums))
    }
}
