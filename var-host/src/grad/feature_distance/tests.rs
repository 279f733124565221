//! The gradient of the distance between features against finite differences.

use proptest::prelude::*;
use var_kernel::ops::feature_distance::Dims;

use super::FeatureDistanceBackward;
use crate::grad::testing::{differences, on_each_backend, random};

fn distances(a: &[f64], b: &[f32], weights: &[f32], d: Dims) -> Vec<f64> {
    let mut out = vec![0.0; d.batch];
    let cells = a.chunks_exact(d.channels).zip(b.chunks_exact(d.channels));
    for (number, (a, b)) in cells.enumerate() {
        let b: Vec<f64> = b.iter().map(|b| f64::from(*b)).collect();
        let length = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt() + 1e-10;
        let (a_length, b_length) = (length(a), length(&b));
        for c in 0..d.channels {
            let square = (a[c] / a_length - b[c] / b_length).powi(2);
            out[number / d.cells] += f64::from(weights[c]) * square / d.cells as f64;
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn features_turn_toward_the_others(
        batch in 1_usize..3, cells in 1_usize..5, channels in 2_usize..40, seed: u64,
    ) {
        let d = Dims { batch, cells, channels };
        // Away from 0, where the lengths bend too much for finite differences.
        let a: Vec<f32> = random(batch * cells * channels, seed)
            .iter()
            .map(|x| x + 0.5_f32.copysign(*x))
            .collect();
        let (b, dout) = (random(a.len(), !seed), random(batch, seed ^ 3));
        let weights: Vec<f32> = random(channels, 7).iter().map(|x| x.abs()).collect();
        let before = vec![0.0; a.len()];
        let want = differences(&a, &dout, |a| distances(a, &b, &weights, d));
        for got in on_each_backend!([da: before], [dout, a, b, weights], [], |on| {
            on.feature_distance_backward(da, dout, a, b, weights, d)
        }) {
            got.assert_close(&want, 2e-6);
        }
    }
}

#[test]
fn cell_without_features_has_no_gradient_and_others_are_added() {
    let d = Dims { batch: 1, cells: 2, channels: 2 };
    let (before, dout, weights) = ([3.0; 4], [1.0], [1.0; 2]);
    let (a, b) = ([0.0, 0.0, 1.0, 0.0], [1.0, 2.0, 0.0, 1.0]);
    for got in on_each_backend!([da: before], [dout, a, b, weights], [], |on| {
        on.feature_distance_backward(da, dout, a, b, weights, d)
    }) {
        // By hand: g = 2 · (1, −1) / 2, of which only the part across remains.
        assert_eq!(got.values, [3.0, 3.0, 3.0, 2.0], "{}", got.name);
    }
}
