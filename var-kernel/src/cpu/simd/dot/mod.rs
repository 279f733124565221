//! Exact dot products of eight-bit integers, sixteen lanes at a time.
//!
//! A lane adds the products of a [`GROUP`] of neighbors along k at once. Each machine has its own way there, and
//! integers have one sum: all ways give the same numbers.

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod avx2;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod plain;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod sse2;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(crate) use self::{
    avx2::Madd256,
    avx512::{Madd512, Vnni512},
    sse2::Madd128,
};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Sdot;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) use plain::PlainDot;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use wasm::WasmDot;

use super::Simd;

/// Neighbors along k in a lane of 32 bits.
pub const GROUP: usize = 4;

/// One machine's dot products of integers. A value is a proof that the machine has them.
///
/// Weights are −128 ..= 127, activations −127 ..= 127. Words of either go as the bits of `f32`.
pub trait Dot<S: Simd>: Copy {
    /// Sixteen `i32`.
    type I32: Copy;

    /// Rows of the product tile that fits this machine's registers.
    const MR: usize;

    /// Vectors in a row of that tile.
    const NR_VECTORS: usize;

    /// Words of 32 bits that hold a [`GROUP`]: 1 of eight-bit or 2 of sixteen-bit integers.
    const WORDS: usize;

    /// Is added to each weight by [`Dot::weights`], and so `OFFSET` · the activations' sum to a dot product.
    const OFFSET: i32;

    /// The words of four activations, the first [`Dot::WORDS`] of two.
    #[inline(always)]
    fn activations(group: [i8; GROUP]) -> [f32; 2] {
        if Self::WORDS == 1 { bytes(group) } else { evens_and_odds(group) }
    }

    /// The words of sixteen columns' groups, the first [`Dot::WORDS`] of two.
    fn weights(self, groups: S::F32) -> [S::F32; 2];

    /// `x` in every lane.
    fn splat(self, x: i32) -> Self::I32;

    /// `sums` and the products of a word of each column with the activations' word.
    fn dot(self, sums: Self::I32, weights: S::F32, activations: f32) -> Self::I32;

    /// Below 2²⁴: exact.
    fn to_f32(self, sums: Self::I32) -> S::F32;
}

/// Code written once over [`Dot`] and compiled for each machine's by [`crate::cpu::Isa::run_dot`]; as for
/// [`super::SimdKernel`], all of it must be `#[inline(always)]`.
pub trait DotKernel {
    /// The return type.
    type Output;

    /// Does the work.
    fn run<S: Simd, D: Dot<S>>(self, simd: S, dot: D) -> Self::Output;
}

/// The word of four eight-bit activations.
#[inline(always)]
fn bytes(group: [i8; GROUP]) -> [f32; 2] {
    [f32::from_bits(u32::from_ne_bytes(group.map(|q| q as u8))), 0.0]
}

/// The words of four sixteen-bit activations: the even ones, the odd ones.
#[inline(always)]
fn evens_and_odds(group: [i8; GROUP]) -> [f32; 2] {
    let word = |low: i8, high: i8| {
        f32::from_bits(u32::from(i16::from(low) as u16) | (u32::from(i16::from(high) as u16) << 16))
    };
    [word(group[0], group[2]), word(group[1], group[3])]
}
