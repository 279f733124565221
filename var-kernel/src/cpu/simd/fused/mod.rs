//! Fused multiply-adds where the hardware has none, by `f64`.
//!
//! A product of two `f32` is exact in `f64`. The sum is rounded twice, to `f64` and to `f32`, which
//! errs only if the first rounding ends halfway between two `f32`, or if the result is subnormal and
//! so has fewer bits. Both are seen in the bits of the sum, and are rare: those sums alone are rounded to odd
//! (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using
//! rounding to odd", 2008).

/// `a · b + c` rounded once.
#[inline(always)]
pub(crate) fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    if is_doubtful(sum) { sum_to_odd(product, c) as f32 } else { sum as f32 }
}

/// Whether rounding `sum`, itself rounded, to `f32` may err.
#[inline(always)]
pub(crate) fn is_doubtful(sum: f64) -> bool {
    /// Bits of an `f64` after those of an `f32`.
    const REST: u64 = (1 << 29) - 1;
    const HALF: u64 = 1 << 28;
    const SIGN: u64 = 1 << 63;
    const LEAST_NORMAL: u64 = (f32::MIN_POSITIVE as f64).to_bits();
    let bits = sum.to_bits();
    // Zero is exact: no product or sum of `f32` is too small for `f64`.
    (bits & REST == HALF) | ((bits & !SIGN).wrapping_sub(1) < LEAST_NORMAL - 1)
}

/// `a + b` rounded to odd, which leaves enough of a trace of the discarded bits for another rounding,
/// to fewer bits, to come out right.
#[cold]
#[inline(never)]
pub(crate) fn sum_to_odd(a: f64, b: f64) -> f64 {
    let sum = a + b;
    let from_b = sum - a;
    let cut_off = (a - (sum - from_b)) + (b - from_b);
    let bits = sum.to_bits();
    let inexact = cut_off != 0.0 && sum.is_finite() && bits & 1 == 0;
    let outward = (cut_off > 0.0) == (sum > 0.0);
    let odd = if outward { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    f64::from_bits(if inexact { odd } else { bits })
}

#[cfg(test)]
mod tests;
