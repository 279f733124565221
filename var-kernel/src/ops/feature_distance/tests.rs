//! feature_distance against a naive oracle.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Dims, FeatureDistance, LEAST};
use crate::ops::testing::{on_each_backend, random};

fn oracle(a: &[f32], b: &[f32], weights: &[f32], d: Dims) -> Vec<f64> {
    let mut out = vec![0.0; d.batch];
    let cells = a.chunks_exact(d.channels).zip(b.chunks_exact(d.channels));
    for (number, (a, b)) in cells.enumerate() {
        let length = |x: &[f32]| {
            x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() + f64::from(LEAST)
        };
        let (a_length, b_length) = (length(a), length(b));
        for c in 0..d.channels {
            let difference = f64::from(a[c]) / a_length - f64::from(b[c]) / b_length;
            out[number / d.cells] += f64::from(weights[c]) * difference.powi(2) / d.cells as f64;
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn distances_follow_their_formula(
        batch in 1_usize..4, cells in 1_usize..80, channels in 1_usize..40, seed: u64,
    ) {
        let d = Dims { batch, cells, channels };
        let mut a = random(batch * cells * channels, seed);
        let b = random(a.len(), !seed);
        let weights: Vec<f32> = random(channels, 7).iter().map(|x| x.abs()).collect();
        // A cell may have no features at all.
        a[..channels].fill(0.0);
        let want = oracle(&a, &b, &weights, d);
        for got in on_each_backend!([out: batch], [a, b, weights], |on| {
            on.feature_distance(out, a, b, weights, d)
        }) {
            got.assert_as_close(&want, 2e-6);
        }
        for equal in on_each_backend!([out: batch], [a, weights], |on| {
            on.feature_distance(out, a, a, weights, d)
        }) {
            prop_assert_eq!(&equal.values, &vec![0.0; batch], "{}", equal.name);
        }
    }
}
