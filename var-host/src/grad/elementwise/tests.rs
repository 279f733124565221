//! Gradients of element-wise operations against finite differences and naive sums.

use proptest::prelude::*;
use var_kernel::ops::PerRow;
use var_kernel::ops::elementwise::{PlaceDims, Unary};

use super::{ElementwiseBackward, TableSlice};
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

    let part = TableSlice { start, stride, rows: each };
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
    fn map_backward_matches_finite_differences(length in 1_usize..70, seed: u64) {
        let x: Vec<f32> = random(length, seed).iter().map(|x| 12.0 * x).collect();
        let dy = random(length, !seed);
        let each = |f: fn(f64) -> f64| {
            differences(&x, &dy, |x| x.iter().map(|x| f(*x)).collect())
        };
        let want = each(gelu);
        for got in on_each_backend!([dx: vec![0.0; length]], [dy, x], [], |b| b.map_backward(dx, dy, x, Unary::Gelu)) {
            got.assert_close(&want, 5e-6);
        }
        let want = each(|x| x / (1.0 + (-x).exp()));
        for got in on_each_backend!([dx: vec![0.0; length]], [dy, x], [], |b| b.map_backward(dx, dy, x, Unary::Silu)) {
            got.assert_close(&want, 5e-6);
        }
    }

    #[test]
    fn leaky_relu_scales_negative_gradients(length in 1_usize..600, slope in 0.0_f32..1.0, seed: u64) {
        let (mut x, dy) = (random(length, seed), random(length, !seed));
        x[0] = 0.0;
        let before = vec![1.0; length];
        let factor = |x: f32| if x > 0.0 { 1.0 } else { f64::from(slope) };
        let want = x.iter().zip(&dy).map(|(x, dy)| 1.0 + f64::from(*dy) * factor(*x));
        let want: Vec<f64> = want.collect();
        let f = Unary::LeakyRelu { slope };
        for got in on_each_backend!([dx: before], [x, dy], [], |b| b.map_backward(dx, dy, x, f)) {
            got.assert_close(&want, 1e-6);
        }
    }

    #[test]
    fn gated_backward_matches_naive_sums(
        rows in 1_usize..20, width in 1_usize..40, each in 1_usize..5, start in 0_usize..3, seed: u64,
    ) {
        gates(rows, width, each, start, seed);
    }

    #[test]
    fn scale_rows_and_place_rows_backward_match_their_formulas(
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
    }
}

#[test]
fn gated_backward_sums_many_rows_into_one_row_of_the_table() {
    gates(700, 300, 650, 1, 3);
    gates(150, 33, 200, 0, 4);
}
