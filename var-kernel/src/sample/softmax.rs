//! Logits → probabilities.

use crate::cpu::Isa;
use crate::cpu::math::exp;
use crate::cpu::simd::{LANES, Simd, SimdKernel};

/// `row[i] = e^(row[i] − max) / Σⱼ e^(row[j] − max)`; −∞ becomes exactly 0.
///
/// The sum runs over sixteen lanes (index mod 16), which are then added by halves.
pub fn softmax(isa: Isa, row: &mut [f32]) {
    isa.run(Softmax { row });
}

struct Softmax<'a> {
    row: &'a mut [f32],
}

impl SimdKernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut top = s.splat(f32::NEG_INFINITY);
        for part in self.row.chunks(LANES) {
            top = s.max(top, s.load_or(part, f32::NEG_INFINITY));
        }
        let top = s.splat(s.greatest(top));
        let mut sum = s.splat(0.0);
        for part in self.row.chunks_mut(LANES) {
            let weight = exp(s, s.sub(s.load_or(part, f32::NEG_INFINITY), top));
            sum = s.add(sum, weight);
            s.store_part(weight, part);
        }
        let sum = s.splat(s.sum(sum));
        for part in self.row.chunks_mut(LANES) {
            s.store_part(s.div(s.load_or(part, 0.0), sum), part);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::ops::testing::{assert_close, on_each_cpu, random};

    #[test]
    fn softmax_matches_its_formula_at_every_tail() {
        for length in (1..20).chain([64, 4096]) {
            let logits: Vec<f32> = random(length, 3).iter().map(|x| 12.0 * x).collect();
            let total: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
            let want: Vec<f64> = logits.iter().map(|x| f64::from(*x).exp() / total).collect();
            let got = on_each_cpu(length, |cpu, out| {
                out.copy_from_slice(&logits);
                softmax(cpu.isa(), out);
            });
            assert_close(&got, &want, 1e-6);
        }
    }

    #[test]
    fn tokens_that_may_not_be_drawn_have_probability_zero() {
        let mut row = [f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY];
        softmax(Isa::best(), &mut row);
        assert_eq!(row, [0.0, 1.0, 0.0]);
    }
}
