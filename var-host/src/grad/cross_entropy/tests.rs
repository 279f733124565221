//! Gradient of the cross-entropy against finite differences.

use proptest::prelude::*;

use super::CrossEntropyBackward;
use crate::grad::testing::{assert_close, differences, on_each_cpu, random};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn matches_finite_differences(
        rows in 1_usize..4, codes in 1_usize..40, smoothing in 0.0_f32..0.5, seed: u64,
    ) {
        let logits: Vec<f32> = random(rows * codes, seed).iter().map(|x| 5.0 * x).collect();
        let targets: Vec<u32> = (0..rows).map(|row| (row * 7 % codes) as u32).collect();
        let dloss = random(rows, !seed);
        let got = on_each_cpu(logits.len(), |cpu, dlogits| {
            dlogits.fill(0.0);
            let Ok(()) =
                cpu.cross_entropy_backward(dlogits, &dloss, &logits, &targets, smoothing);
        });
        let want = differences(&logits, &dloss, |logits| {
            let each = logits.chunks_exact(codes).zip(&targets);
            each.map(|(row, target)| {
                let mean = row.iter().sum::<f64>() / codes as f64;
                let (right, smoothing) = (row[*target as usize], f64::from(smoothing));
                let sum: f64 = row.iter().map(|x| x.exp()).sum();
                sum.ln() - (1.0 - smoothing) * right - smoothing * mean
            })
            .collect()
        });
        assert_close(&got, &want, 2e-6);
    }
}
