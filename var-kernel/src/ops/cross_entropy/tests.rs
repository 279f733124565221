//! Cross-entropy against a naive oracle.

use std::vec::Vec;

use proptest::prelude::*;

use super::CrossEntropy;
use crate::ops::testing::{on_each_backend, random, tokens_in};

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

/// Rows of `codes` logits, and the place of each row's greatest.
fn assert_most_likely(rows: &[(&[f32], u32)]) {
    let logits: Vec<f32> = rows.iter().flat_map(|(row, _)| row.iter().copied()).collect();
    let want: Vec<u32> = rows.iter().map(|(_, place)| *place).collect();
    for got in on_each_backend!([out: rows.len()], [logits], |b| {
        b.most_likely(tokens_in(b, out), logits)
    }) {
        assert_eq!(got.tokens(), want, "{}", got.name);
    }
}

#[test]
fn most_likely_is_the_first_of_equals() {
    let (nan, least) = (f32::NAN, f32::NEG_INFINITY);
    assert_most_likely(&[
        (&[1.0, 3.0, 3.0, 2.0], 1),
        (&[-0.0, 0.0, -1.0, 0.0], 0),
        (&[nan, -5.0, nan, -5.0], 1),
        (&[least, least, least, -3e38], 3),
        (&[least, least, nan, least], 0),
        (&[nan, nan, nan, nan], 0),
        (&[f32::INFINITY, 1.0, f32::INFINITY, nan], 0),
    ]);
}

proptest! {
    /// Few different numbers, so that there are equals in every warp and across them.
    #[test]
    fn most_likely_matches_naive(codes in 1_usize..700, rows in 1_usize..5, values in 1_u32..40, seed: u64) {
        let steps = |x: &f32| (x * values as f32).round();
        let logits: Vec<f32> = random(rows * codes, seed).iter().map(steps).collect();
        let row = |row: &'_ [f32]| {
            let greatest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter().position(|x| *x == greatest).unwrap() as u32
        };
        let rows: Vec<(&[f32], u32)> = logits.chunks(codes).map(|x| (x, row(x))).collect();
        assert_most_likely(&rows);
    }
}
