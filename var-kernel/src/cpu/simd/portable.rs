//! Vectors for every machine, on the crate `wide`: SSE2, NEON or simd128 as the compiler is told.

use half::{bf16, f16};
use wide::f32x8;

use super::fused::multiply_add;
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
