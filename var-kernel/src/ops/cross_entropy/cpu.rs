//! Cross-entropy on the CPU.

use core::convert::Infallible;

use super::{CrossEntropy, check, check_rows};
use crate::cpu::Cpu;
use crate::cpu::math::{exp, ln};
use crate::cpu::simd::{LANES, Simd, SimdKernel};

impl CrossEntropy for Cpu<'_> {
    fn cross_entropy(
        &self,
        out: &mut [f32],
        logits: &[f32],
        targets: &[u32],
        smoothing: f32,
    ) -> Result<(), Infallible> {
        let codes = check(out.len(), logits.len(), targets);
        let isa = self.isa;
        self.for_each_run(out, 1, |row, out, _| {
            let logits = &logits[row * codes..][..codes];
            let (top, sum) = isa.run(SumOfExponentials { logits });
            let mut right = f64::from(logits[targets[row] as usize]);
            if smoothing > 0.0 {
                let mean = f64::from(isa.run(Sum { logits })) / codes as f64;
                right += f64::from(smoothing) * (mean - right);
            }
            out[0] = (f64::from(top) + ln(f64::from(sum)) - right) as f32;
        });
        Ok(())
    }

    fn most_likely(&self, tokens: &mut [u32], logits: &[f32]) -> Result<(), Infallible> {
        let codes = check_rows(tokens.len(), logits.len());
        self.for_each_run(tokens, 1, |row, tokens, _| {
            tokens[0] = first_greatest(&logits[row * codes..][..codes]) as u32;
        });
        Ok(())
    }
}

/// The place of the maximum number, the first of equals.
fn first_greatest(row: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, x) in row.iter().enumerate() {
        if *x > best.1 {
            best = (i, *x);
        }
    }
    best.0
}

/// The greatest logit and `Σ e^(logit − greatest)`, over sixteen lanes.
struct SumOfExponentials<'a> {
    logits: &'a [f32],
}

impl SimdKernel for SumOfExponentials<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, f32) {
        let mut top = s.splat(f32::NEG_INFINITY);
        for part in self.logits.chunks(LANES) {
            top = s.max(top, s.load_or(part, f32::NEG_INFINITY));
        }
        let greatest = s.greatest(top);
        let mut sum = s.splat(0.0);
        for part in self.logits.chunks(LANES) {
            let below = s.sub(s.load_or(part, f32::NEG_INFINITY), s.splat(greatest));
            sum = s.add(sum, exp(s, below));
        }
        (greatest, s.sum(sum))
    }
}

/// The sum of the logits, over sixteen lanes.
struct Sum<'a> {
    logits: &'a [f32],
}

impl SimdKernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut sum = s.splat(0.0);
        for part in self.logits.chunks(LANES) {
            sum = s.add(sum, s.load_or(part, 0.0));
        }
        s.sum(sum)
    }
}
