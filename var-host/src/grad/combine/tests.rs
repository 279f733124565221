//! Gradients of operations of one pass against finite differences and naive sums.

use proptest::prelude::*;
use var_kernel::ops::PerRow;
use var_kernel::ops::combine::PlaceDims;

use super::{CombineBackward, Part};
use crate::grad::testing::{differences, on_each_backend, random};

fn gelu(x: f64) -> f64 {
    let u = (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    0.5 * x * (1.0 + u.tanh())
}

fn gates(rows: usize, width: usize, each: usize, start: usize, seed: u64) {
    let (stride, all) = (width + start + 2, rows * width);
    let (x, dy) = (random(all, seed), random(all, !seed));
    let table = random(rows.div_ceil(each) * stride, seed ^ 5);
    let at = |i: usize| i / width / each * stride + start + i % width;
    let want: Vec<f64> =
        (0..all).map(|i| 1.0 + f64::from(dy[i]) * f64::from(table[at(i)])).collect();
    for got in on_each_backend!([dx: vec![1.0; all]], [dy, table], [], |b| {
        let gate = PerRow { table, start, stride, rows: each };
        b.gated_backward_x(dx, dy, gate, width)
    }) {
        got.assert_close(&want, 1e-6);
    }

    let part = Part { start, stride, rows: each };
    let mut want = vec![1.0; table.len()];
    for i in 0..all {
        want[at(i)] += f64::from(dy[i]) * f64::from(x[i]);
    }
    for got in on_each_backend!([dtable: vec![1.0; table.len()]], [dy, x], [], |b| {
        b.gated_backward_gate(dtable, dy, x, part, width)
    }) {
        got.assert_close(&want, 2e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn activations_have_the_slope_of_their_formula(length in 1_usize..70, seed: u64) {
        let x: Vec<f32> = random(length, seed).iter().map(|x| 12.0 * x).collect();
        let dy = random(length, !seed);
        let each = |f: fn(f64) -> f64| {
            differences(&x, &dy, |x| x.iter().map(|x| f(*x)).collect())
        };
        let want = each(gelu);
        for got in on_each_backend!([dx: vec![0.0; length]], [dy, x], [], |b| b.gelu_backward(dx, dy, x)) {
            got.assert_close(&want, 5e-6);
        }
        let want = each(|x| x / (1.0 + (-x).exp()));
        for got in on_each_backend!([dx: vec![0.0; length]], [dy, x], [], |b| b.silu_backward(dx, dy, x)) {
            got.assert_close(&want, 5e-6);
        }
    }

    #[test]
    fn gates_pass_gradients_both_ways(
        rows in 1_usize..20, width in 1_usize..40, each in 1_usize..5, start in 0_usize..3, seed: u64,
    ) {
        gates(rows, width, each, start, seed);
    }

    #[test]
    fn factors_places_and_indices_pass_gradients(
        rows in 1_usize..9, width in 1_usize..20, start in 0_usize..4, seed: u64,
    ) {
        let (dy, factors) = (random(rows * width, seed), random(rows, !seed));
        let ones = vec![1.0; dy.len()];
        for got in on_each_backend!([dx: ones], [dy, factors], [], |b| {
            b.scale_rows_backward(dx, dy, factors)
        }) {
            let right = (0..dy.len()).all(|i| got.values[i] == 1.0 + dy[i] * factors[i / width]);
            prop_assert!(right, "{}", got.name);
        }

        let d = PlaceDims { rows, width, stride: start + width + 1, start };
        let dout = random(rows * d.stride, seed ^ 2);
        let from = |i: usize| dout[i / width * d.stride + start + i % width];
        for got in on_each_backend!([dx: ones], [dout], [], |b| b.place_rows_backward(dx, dout, d)) {
            let right = (0..dy.len()).all(|i| got.values[i] == 1.0 + from(i));
            prop_assert!(right, "{}", got.name);
        }

        let indices: Vec<u32> = (0..rows).map(|row| (row * row % 3) as u32).collect();
        let mut want = vec![1.0; 3 * width];
        for (i, dy) in dy.iter().enumerate() {
            want[indices[i / width] as usize * width + i % width] += f64::from(*dy);
        }
        for got in on_each_backend!([dtable: vec![1.0; 3 * width]], [dy], [], |b| {
            b.embedding_backward(dtable, dy, &indices, width)
        }) {
            got.assert_close(&want, 1e-5);
        }
    }
}

#[test]
fn many_rows_share_a_row_of_the_table() {
    gates(700, 300, 650, 1, 3);
    gates(150, 33, 200, 0, 4);
}
