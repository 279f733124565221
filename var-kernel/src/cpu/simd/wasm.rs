//! Vectors in simd128 of WebAssembly: four registers each.
#![allow(unsafe_code)]

use core::arch::wasm32::*;

use half::{bf16, f16};

#[cfg(not(target_feature = "relaxed-simd"))]
use super::doubles::{self, Doubles};
use super::{LANES, Simd};

/// Whether this module has the fused multiply-adds of relaxed SIMD; one without runs where they are not.
const RELAXED: bool = cfg!(target_feature = "relaxed-simd");

/// simd128, or relaxed SIMD where the module is compiled for it.
#[derive(Clone, Copy)]
pub(crate) struct Wasm(());

impl Wasm {
    pub(crate) const NAME: &str = if RELAXED { "relaxed-simd" } else { "simd128" };

    /// The proof: this is compiled for simd128, and the engine fuses where it is compiled for relaxed SIMD.
    ///
    /// # Panics
    /// If it does not: its sums would have other bytes.
    pub(crate) fn new() -> Self {
        #[cfg(target_feature = "relaxed-simd")]
        assert!(fuses(), "relaxed_madd rounds twice here: a module without relaxed SIMD is wanted");
        Self(())
    }
}

/// Whether this engine fuses. One look is enough: whether `relaxed_madd` rounds once or twice is one
/// choice of the environment (`R_fmadd` of the WebAssembly specification).
#[cfg(target_feature = "relaxed-simd")]
fn fuses() -> bool {
    let (above, below) = (1.0 + 1.0 / 4096.0, 1.0 - 1.0 / 4096.0);
    let [a, b, c] = core::hint::black_box([above, below, -1.0]);
    let fused = f32x4_relaxed_madd(f32x4_splat(a), f32x4_splat(b), f32x4_splat(c));
    // (1 + 2⁻¹²) · (1 − 2⁻¹²) − 1; rounded before the sum, the product is 1.
    f32x4_extract_lane::<0>(fused) == -1.0 / 16_777_216.0
}

/// `op` on each of the four registers.
macro_rules! quads {
    (|$i:ident| $op:expr) => {
        [
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
        ]
    };
}

/// A load or store that stays inside the array it borrows.
macro_rules! memory {
    ($op:expr) => {
        // SAFETY: the caller's reference is to as many bytes as are moved, or to more.
        unsafe { $op }
    };
}

impl Simd for Wasm {
    type F32 = [v128; 4];

    const MR: usize = if RELAXED { 2 } else { 4 };
    const NR_VECTORS: usize = 1;
    const CHAINS: bool = !RELAXED;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [f32x4_splat(x); 4]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        quads!(|I| memory!(v128_load(from[4 * I..].as_ptr().cast())))
    }

    #[inline(always)]
    fn store(self, v: Self::F32, to: &mut [f32; LANES]) {
        quads!(|I| memory!(v128_store(to[4 * I..].as_mut_ptr().cast(), v[I])));
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quads!(|I| f32x4_add(a[I], b[I]))
    }

    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quads!(|I| f32x4_sub(a[I], b[I]))
    }

    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quads!(|I| f32x4_mul(a[I], b[I]))
    }

    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quads!(|I| f32x4_div(a[I], b[I]))
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        #[cfg(target_feature = "relaxed-simd")]
        return quads!(|I| f32x4_relaxed_madd(a[I], b[I], c[I]));
        #[cfg(not(target_feature = "relaxed-simd"))]
        mul_add(self, &a, &b, &c)
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn chains<const ROWS: usize, const VECTORS: usize>(
        self,
        sums: &mut [[Self::F32; VECTORS]; ROWS],
        a: &[f32],
        b: [&[[f32; LANES]]; VECTORS],
    ) {
        doubles::chains(self, sums, a, b);
    }

    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quads!(|I| f32x4_pmin(a[I], b[I]))
    }

    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        quads!(|I| f32x4_pmax(a[I], b[I]))
    }

    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        quads!(|I| f32x4_sqrt(a[I]))
    }

    #[inline(always)]
    fn where_less(
        self,
        a: Self::F32,
        b: Self::F32,
        then: Self::F32,
        otherwise: Self::F32,
    ) -> Self::F32 {
        quads!(|I| v128_bitselect(then[I], otherwise[I], f32x4_lt(a[I], b[I])))
    }

    #[inline(always)]
    fn exp2_of_shifted(self, a: Self::F32) -> Self::F32 {
        quads!(|I| u32x4_add(u32x4_shl(a[I], 23), u32x4_splat(0x3f80_0000)))
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32 {
        self.load(&from.map(f16::to_f32))
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32 {
        quads!(|I| u32x4_shl(memory!(u32x4_load_extend_u16x4(from[4 * I..].as_ptr().cast())), 16))
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> Self::F32 {
        self.load(&from.map(f32::from))
    }
}

/// Not inlined: a call costs a sixth of it, its code a tenth of the module, at every use.
#[cfg(not(target_feature = "relaxed-simd"))]
#[inline(never)]
fn mul_add(s: Wasm, a: &[v128; 4], b: &[v128; 4], c: &[v128; 4]) -> [v128; 4] {
    doubles::mul_add(s, *a, *b, *c)
}

#[cfg(not(target_feature = "relaxed-simd"))]
impl Doubles for Wasm {
    type Quad = v128;
    type Pair = v128;

    #[inline(always)]
    fn load_quad(self, from: &[f32; 4]) -> v128 {
        memory!(v128_load(from.as_ptr().cast()))
    }

    #[inline(always)]
    fn store_quad(self, v: v128, to: &mut [f32; 4]) {
        memory!(v128_store(to.as_mut_ptr().cast(), v));
    }

    #[inline(always)]
    fn widen(self, v: v128) -> [v128; 2] {
        [f64x2_promote_low_f32x4(v), f64x2_promote_low_f32x4(i64x2_shuffle::<1, 1>(v, v))]
    }

    #[inline(always)]
    fn narrow(self, v: [v128; 2]) -> v128 {
        let [low, high] = v;
        i64x2_shuffle::<0, 2>(f32x4_demote_f64x2_zero(low), f32x4_demote_f64x2_zero(high))
    }

    #[inline(always)]
    fn round(self, v: v128) -> v128 {
        f64x2_promote_low_f32x4(f32x4_demote_f64x2_zero(v))
    }

    #[inline(always)]
    fn splat_pair(self, x: f32) -> v128 {
        f64x2_splat(f64::from(x))
    }

    #[inline(always)]
    fn product_sum(self, a: v128, b: v128, c: v128) -> v128 {
        f64x2_add(f64x2_mul(a, b), c)
    }

    #[inline(always)]
    fn no_doubts(self) -> v128 {
        u64x2_splat(0)
    }

    #[inline(always)]
    fn doubts(self, doubts: v128, sum: v128) -> v128 {
        let [low, high] = doubles::DOUBTS;
        let kept = i32x4(low.kept, high.kept, low.kept, high.kept);
        let offset = i32x4(low.offset, high.offset, low.offset, high.offset);
        let below = i32x4(low.below, high.below, low.below, high.below);
        v128_or(doubts, i32x4_lt(i32x4_add(v128_and(sum, kept), offset), below))
    }

    #[inline(always)]
    fn any(self, doubts: v128) -> bool {
        v128_any_true(doubts)
    }
}
