//! Gradient of the cross-entropy against finite differences.

use proptest::prelude::*;

use super::CrossEntropyBackward;
use crate::grad::testing::{differences, on_each_backend, random};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn matches_finite_differences(
        rows in 1_usize..4, codes in 1_usize..40, fours: bool, smoothing in 0.0_f32..0.5,
        seed: u64,
    ) {
        let codes = if fours { codes.next_multiple_of(4) } else { codes };
        let logits: Vec<f32> = random(rows * codes, seed).iter().map(|x| 5.0 * x).collect();
        let targets: Vec<u32> = (0..rows).map(|row| (row * 7 % codes) as u32).collect();
        let dloss = random(rows, !seed);
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
        for got in on_each_backend!([dlogits: vec![0.0; logits.len()]], [dloss, logits], [], |b| {
            b.cross_entropy_backward(dlogits, dloss, logits, &targets, smoothing)
        }) {
            got.assert_close(&want, 2e-6);
        }
    }
}
