//! What the gradients' tests share: numbers to try, equal bytes, finite differences.

use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};

use crate::pool::Threads;

/// `length` numbers in −1 .. 1 that depend on `seed` alone.
pub(crate) fn random(length: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    core::iter::repeat_with(next).take(length).collect()
}

/// Fails unless `|got − want| ≤ tolerance · max(1, |want|)` for every number.
#[track_caller]
pub(crate) fn assert_close(got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        let allowed = tolerance * want.abs().max(1.0);
        assert!(error <= allowed, "at {i}: got {got}, want {want}, off by {error:e}");
    }
}

/// Runs `op` on every instruction set, on one thread and three; fails unless all give the same bytes;
/// returns them.
#[track_caller]
pub(crate) fn on_each_cpu(length: usize, op: impl Fn(Cpu<'_>, &mut [f32])) -> Vec<f32> {
    let mut first: Option<Vec<f32>> = None;
    for threads in [1, 3] {
        let pool = Threads::new(threads, SCRATCH_FLOATS).expect("threads start");
        for isa in Isa::all() {
            let mut out = vec![f32::NAN; length];
            op(Cpu::new(isa, &pool), &mut out);
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            match &first {
                None => first = Some(out),
                Some(first) => assert!(
                    bits(first) == bits(&out),
                    "{isa:?} with {threads} threads gives other bytes"
                ),
            }
        }
    }
    first.expect("every machine has the portable instruction set")
}

/// `Σᵢ weights[i] · ∂f[i]/∂x` by central differences: what a gradient must equal whose outputs'
/// gradients are `weights`.
pub(crate) fn differences(x: &[f32], weights: &[f32], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let at = |i: usize, step: f64| {
        let mut x = x.clone();
        x[i] += step;
        let y = f(&x);
        assert_eq!(y.len(), weights.len());
        y.iter().zip(weights).map(|(y, weight)| y * f64::from(*weight)).sum::<f64>()
    };
    (0..x.len()).map(|i| (at(i, STEP) - at(i, -STEP)) / (2.0 * STEP)).collect()
}
