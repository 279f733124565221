//! The gradient of pooling against finite differences.

use proptest::prelude::*;
use var_kernel::ops::Channels;
use var_kernel::ops::pool::{Dims, Pooling};

use super::PoolBackward;
use crate::grad::testing::{differences, on_each_backend, random};

/// The outputs with the other channels of their cells, 0.
fn pool(x: &[f64], pooling: Pooling, d: Dims) -> Vec<f64> {
    let [rows, columns] = d.out_grid();
    let mut out = vec![0.0; d.out_len()];
    for cell in 0..d.batch * rows * columns {
        let (image, y, column) = (cell / columns / rows, cell / columns % rows, cell % columns);
        for c in 0..d.channels {
            let mut window = Vec::new();
            for y in d.window(y, d.height) {
                let line = (image * d.height + y) * d.width;
                let across = d.window(column, d.width);
                window.extend(across.map(|column| x[(line + column) * d.channels + c]));
            }
            out[cell * d.into.of + d.into.first + c] = match pooling {
                Pooling::Max => window.into_iter().fold(f64::NEG_INFINITY, f64::max),
                Pooling::Average => window.iter().sum::<f64>() / window.len() as f64,
            };
        }
    }
    out
}

/// Random values in steps of 1/64: a finite difference passes over no tie, where a maximum has no derivative.
fn random_apart(length: usize, seed: u64) -> Vec<f32> {
    let x = random(length, seed);
    let mut order: Vec<usize> = (0..length).collect();
    order.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
    let mut apart = vec![0.0; length];
    for (rank, index) in order.into_iter().enumerate() {
        apart[index] = (rank as f32 - length as f32 / 2.0) / 64.0;
    }
    apart
}

fn compare(d: Dims, seed: u64) {
    let (x, dy) = (random_apart(d.in_len(), seed), random(d.out_len(), !seed));
    for pooling in [Pooling::Max, Pooling::Average] {
        let want = differences(&x, &dy, |x| pool(x, pooling, d));
        let before = vec![0.0; x.len()];
        for got in on_each_backend!([dx: before], [dy, x], [], |b| {
            b.pool_backward(dx, dy, x, pooling, d)
        }) {
            got.assert_close(&want, 2e-6);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn pool_backward_matches_finite_differences_of_2_by_2(
        batch in 1_usize..3, height in 2_usize..7, width in 2_usize..7, channels in 1_usize..20,
        seed: u64,
    ) {
        compare(Dims::halving(batch, height, width, channels), seed);
    }

    #[test]
    fn pool_backward_matches_finite_differences_of_any_window(
        (height, width) in (1_usize..8, 1_usize..8),
        channels in 1_usize..9,
        kernel in 1_usize..5,
        stride in 1_usize..4,
        padding in 0_usize..4,
        (first, after) in (0_usize..3, 0_usize..3),
        seed: u64,
    ) {
        let kernel = kernel.min(height.min(width));
        let padding = padding.min(kernel - 1);
        let into = Channels { first, of: first + channels + after };
        let batch = 2;
        compare(Dims { batch, height, width, channels, kernel, stride, padding, into }, seed);
    }
}

#[test]
fn pool_backward_adds_to_the_first_of_equal_maxima() {
    let d = Dims::halving(1, 2, 2, 1);
    let (before, dy, x) = ([1.0; 4], [5.0], [0.0, 2.0, 2.0, 2.0]);
    for got in on_each_backend!([dx: before], [dy, x], [], |b| {
        b.pool_backward(dx, dy, x, Pooling::Max, d)
    }) {
        assert_eq!(got.values, [1.0, 6.0, 1.0, 1.0], "{}", got.name);
    }
}
