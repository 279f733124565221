//! exp and ln as our own polynomials, so that they give the same bits on every machine.

use super::simd::{LANES, Simd};

/// `eˣ`, within 2 units in the last place; 0 below −87.33, `e^88.37` above 88.37.
///
/// `x = n·ln 2 + r`, `|r| ≤ ln 2 / 2`, `eˣ = 2ⁿ·P(r)`; P is the Taylor polynomial of degree 7; its
/// remainder at the ends of the interval is `r⁸/8! < 5.2e-9` of the value, below half a unit (6e-8).
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    const LOWEST: f32 = -87.33;
    const HIGHEST: f32 = 88.37;
    /// Adding 1.5·2²³ leaves the nearest integer in the low bits.
    const SHIFT: f32 = 12_582_912.0;
    /// ln 2 in two parts; the first has so few digits that n times it is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const TAYLOR: [f32; 8] =
        [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];

    let inside = s.min(s.max(x, s.splat(LOWEST)), s.splat(HIGHEST));
    let shifted = s.mul_add(inside, s.splat(core::f32::consts::LOG2_E), s.splat(SHIFT));
    let n = s.sub(shifted, s.splat(SHIFT));
    let r = s.mul_add(n, s.splat(-LN_2_HIGH), inside);
    let r = s.mul_add(n, s.splat(-LN_2_LOW), r);
    let mut p = s.splat(TAYLOR[0]);
    for coefficient in &TAYLOR[1..] {
        p = s.mul_add(p, r, s.splat(*coefficient));
    }
    let value = s.mul(p, s.exp2_of_shifted(shifted));
    s.where_less(x, s.splat(LOWEST), s.splat(0.0), value)
}

/// `x · σ(factor · x) = x / (1 + e^(−factor·x))`: SiLU for factor 1.
#[inline(always)]
pub fn silu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let negative = s.sub(s.splat(0.0), x);
    s.div(x, s.add(s.splat(1.0), exp(s, negative)))
}

/// GELU in its tanh form, `x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
///
/// Computed as `x / (1 + e^(−2u))` with u the argument of tanh, which is the same function.
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    const MINUS_TWICE_SQRT_2_OVER_PI: f32 = -1.595_769;
    let cubic = s.mul_add(s.mul(x, x), s.splat(0.044_715), s.splat(1.0));
    let exponent = s.mul(s.mul(x, s.splat(MINUS_TWICE_SQRT_2_OVER_PI)), cubic);
    s.div(x, s.add(s.splat(1.0), exp(s, exponent)))
}

/// `eˣ` of one number, bit for bit as in a vector.
#[inline(always)]
pub fn exp_one<S: Simd>(s: S, x: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    s.store(exp(s, s.splat(x)), &mut lanes);
    lanes[0]
}

/// The natural logarithm of a positive, finite, normal `x`, within 4 units in the last place of `f64`.
///
/// `x = m·2ᵉ`, `m ∈ [√½, √2)`, `ln m = 2·(t + t³/3 + t⁵/5 + …)` with `t = (m−1)/(m+1)`, `|t| < 0.1716`;
/// the first term left out, `t²³/23`, is below 2e-19 of the sum.
pub fn ln(x: f64) -> f64 {
    const EXPONENT_OF_SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let shifted = x.to_bits().wrapping_sub(EXPONENT_OF_SQRT_HALF);
    let exponent = (shifted as i64) >> 52;
    let mantissa = f64::from_bits(x.to_bits().wrapping_sub((exponent as u64) << 52));
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let mut sum = 0.0;
    let mut denominator = 21.0;
    while denominator >= 1.0 {
        sum = sum * square + 1.0 / denominator;
        denominator -= 2.0;
    }
    2.0 * t * sum + exponent as f64 * core::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cpu::Isa;
    use crate::cpu::simd::SimdKernel;

    struct Apply(fn(f64) -> f64, Function, f32);

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Silu,
        Gelu,
    }

    impl SimdKernel for Apply {
        type Output = (f32, f64);

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> (f32, f64) {
            let x = s.splat(self.2);
            let y = match self.1 {
                Function::Exp => exp(s, x),
                Function::Silu => silu(s, x),
                Function::Gelu => gelu(s, x),
            };
            let mut lanes = [0.0; LANES];
            s.store(y, &mut lanes);
            (lanes[0], self.0(f64::from(self.2)))
        }
    }

    fn gelu_f64(x: f64) -> f64 {
        let u = (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
        0.5 * x * (1.0 + u.tanh())
    }

    proptest! {
        #[test]
        fn exp_is_within_two_units(x in -87.3_f32..88.3) {
            for isa in Isa::all() {
                let (got, want) = isa.run(Apply(f64::exp, Function::Exp, x));
                let unit = f64::from(f32::EPSILON) * want;
                prop_assert!((f64::from(got) - want).abs() <= 2.0 * unit, "{isa:?} {x}: {got} {want}");
            }
        }

        #[test]
        fn activations_follow_their_formulas(x in -30.0_f32..30.0) {
            let silu = |x: f64| x / (1.0 + (-x).exp());
            for isa in Isa::all() {
                for (oracle, function) in
                    [(silu as fn(f64) -> f64, Function::Silu), (gelu_f64, Function::Gelu)]
                {
                    let (got, want) = isa.run(Apply(oracle, function, x));
                    prop_assert!((f64::from(got) - want).abs() <= 2e-6 * want.abs().max(1e-3));
                }
            }
        }

        #[test]
        fn every_instruction_set_gives_the_same_bits(x in -100.0_f32..100.0) {
            let of = |isa: Isa, function| isa.run(Apply(f64::exp, function, x)).0.to_bits();
            for function in [Function::Exp, Function::Silu, Function::Gelu] {
                for isa in Isa::all() {
                    prop_assert_eq!(of(isa, function), of(Isa::portable(), function));
                }
            }
        }

        #[test]
        fn ln_is_within_four_units(x in 1e-10_f64..1e10) {
            let want = x.ln();
            prop_assert!((ln(x) - want).abs() <= 4.0 * f64::EPSILON * want.abs().max(1e-3));
        }
    }

    #[test]
    fn exp_of_minus_infinity_is_zero() {
        for isa in Isa::all() {
            assert_eq!(isa.run(Apply(f64::exp, Function::Exp, f32::NEG_INFINITY)).0, 0.0);
        }
    }
}
