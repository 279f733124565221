//! Cross-entropy against a naive oracle.

use std::vec::Vec;

use proptest::prelude::*;

use super::CrossEntropy;
use crate::ops::testing::{on_each_backend, random};

proptest! {
    #[test]
    fn matches_naive(codes in 1_usize..80, rows in 1_usize..5, size in 0.1_f32..40.0, smoothing in 0.0_f32..0.5) {
        let logits: Vec<f32> = random(rows * codes, 1).iter().map(|x| size * x).collect();
        let targets: Vec<u32> = (0..rows).map(|row| (row * 7 % codes) as u32).collect();
        let naive = |(row, target): (&[f32], &u32)| {
            let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / codes as f64;
            let right = f64::from(row[*target as usize]);
            sum.ln() - right - f64::from(smoothing) * (mean - right)
        };
        let want: Vec<f64> = logits.chunks_exact(codes).zip(&targets).map(naive).collect();
        for got in on_each_backend!([out: rows], [logits], |b| {
            b.cross_entropy(out, logits, &targets, smoothing)
        }) {
            got.assert_as_close(&want, 2e-5);
        }
    }
}
