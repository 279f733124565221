//! `more_smooth`: a mixture of codes in place of the drawn one (Jang and others, "Categorical
//! Reparameterization with Gumbel-Softmax", 2017).

use super::softmax;
use crate::cpu::Isa;
use crate::cpu::math::ln;

/// `row = softmax((row · (1 + ratio) + g) / τ)`, `τ = max(0.27·(1 − 0.95·ratio), 0.005)`.
///
/// `ratio` is how far along the ladder the scale is, 0 to 1; `noise` gives g for an index and is
/// asked only where the logit is not −∞.
pub fn soften(isa: Isa, row: &mut [f32], ratio: f64, noise: impl Fn(usize) -> f32) {
    let (sharper, temperature) = (sharpness(ratio), temperature(ratio));
    for (index, logit) in row.iter_mut().enumerate() {
        if *logit > f32::NEG_INFINITY {
            *logit = (*logit * sharper + noise(index)) / temperature;
        }
    }
    softmax::softmax(isa, row);
}

/// Factor of the logits: `1 + ratio`.
pub fn sharpness(ratio: f64) -> f32 {
    (1.0 + ratio) as f32
}

/// Temperature τ: `max(0.27·(1 − 0.95·ratio), 0.005)`.
pub fn temperature(ratio: f64) -> f32 {
    (0.27 * (1.0 - 0.95 * ratio)).max(0.005) as f32
}

/// The Gumbel number `−ln(E)` of a unit exponential E.
pub fn of_exponential(exponential: f64) -> f32 {
    -ln(exponential) as f32
}

/// The Gumbel number `−ln(−ln(1 − u))` of a uniform u in 0 .. 1; 0 counts as 2⁻²⁵.
pub fn of_uniform(u: f32) -> f32 {
    let u = if u > 0.0 { f64::from(u) } else { 1.0 / 33_554_432.0 };
    of_exponential(-ln(1.0 - u))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gumbel_numbers_follow_their_formula() {
        for u in [0.0_f32, 5.960_464_5e-8, 1e-3, 0.5, 0.999, 0.999_999_94] {
            let used = if u == 0.0 { 2.0_f64.powi(-25) } else { f64::from(u) };
            let want = -(-(1.0 - used).ln()).ln();
            assert!((f64::from(of_uniform(u)) - want).abs() <= 1e-6 * want.abs().max(1.0), "{u}");
        }
    }
}
