//! Vectors for every machine, on the crate `wide`: SSE2, NEON or simd128 as the compiler is told.

use half::{bf16, f16};
use wide::f32x8;

use super::{LANES, Simd};

/// Vectors of the crate `wide`, available on every machine.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Whether `wide` multiplies and adds with one rounding where this was compiled.
const FUSED: bool = cfg!(any(target_feature = "fma", target_feature = "neon"));

/// `op` on both halves of a vector.
macro_rules! halves {
    (|$($v:ident),+| $op:expr) => {{
        let half = |$($v: f32x8),+| $op;
        let low = { $(let $v = $v[0];)+ half($($v),+) };
        let high = { $(let $v = $v[1];)+ half($($v),+) };
        [low, high]
    }};
}

impl Simd for Portable {
    type F32 = [f32x8; 2];

    const MR: usize = 4;
    const NR_VECTORS: usize = 1;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [f32x8::splat(x); 2]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        let (halves, _) = from.as_chunks::<8>();
        [f32x8::new(halves[0]), f32x8::new(halves[1])]
    }

    #[inline(always)]
    fn store(self, v: Self::F32, to: &mut [f32; LANES]) {
        let (halves, _) = to.as_chunks_mut::<8>();
        halves[0] = v[0].to_array();
        halves[1] = v[1].to_array();
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        halves!(|a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        halves!(|a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        halves!(|a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        halves!(|a, b| a / b)
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        if FUSED {
            return halves!(|a, b, c| a.mul_add(b, c));
        }
        halves!(|a, b, c| {
            let (a, b, c) = (a.to_array(), b.to_array(), c.to_array());
            f32x8::new(core::array::from_fn(|i| multiply_add(a[i], b[i], c[i])))
        })
    }

    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        halves!(|a, b| a.fast_min(b))
    }

    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        halves!(|a, b| a.fast_max(b))
    }

    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        halves!(|a| f32x8::new(a.to_array().map(libm::sqrtf)))
    }

    #[inline(always)]
    fn where_less(
        self,
        a: Self::F32,
        b: Self::F32,
        then: Self::F32,
        otherwise: Self::F32,
    ) -> Self::F32 {
        halves!(|a, b, then, otherwise| {
            let (a, b) = (a.to_array(), b.to_array());
            let (then, otherwise) = (then.to_array(), otherwise.to_array());
            f32x8::new(core::array::from_fn(|i| if a[i] < b[i] { then[i] } else { otherwise[i] }))
        })
    }

    #[inline(always)]
    fn exp2_of_shifted(self, a: Self::F32) -> Self::F32 {
        halves!(|a| f32x8::new(
            a.to_array().map(|x| f32::from_bits((x.to_bits() << 23).wrapping_add(0x3f80_0000)))
        ))
    }

    #[inline(always)]
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32 {
        self.load(&from.map(f16::to_f32))
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32 {
        self.load(&from.map(bf16::to_f32))
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8; LANES]) -> Self::F32 {
        self.load(&from.map(f32::from))
    }
}

/// `a · b + c` rounded once, without fused hardware.
///
/// The product is exact in `f64`; the sum is rounded to odd (Boldo and Melquiond, "Emulation of a
/// FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008), which leaves
/// enough of a trace of the discarded bits for the second rounding, to `f32`, to come out right.
#[inline(always)]
pub(crate) fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let from_c = sum - product;
    let cut_off = (product - (sum - from_c)) + (c - from_c);
    let bits = sum.to_bits();
    let inexact = cut_off != 0.0 && sum.is_finite() && bits & 1 == 0;
    let outward = (cut_off > 0.0) == (sum > 0.0);
    let odd = if outward { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    f64::from_bits(if inexact { odd } else { bits }) as f32
}
