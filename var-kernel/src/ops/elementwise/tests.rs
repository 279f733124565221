//! Element-wise operations against naive oracles.

use std::vec::Vec;

use proptest::prelude::*;

use super::{Elementwise, PlaceDims, Unary};
use crate::ops::PerRow;
use crate::ops::testing::{on_each_backend, random};

proptest! {
    #[test]
    fn blend_matches_its_formula(length in 1_usize..100, a_factor in -2.0_f32..2.0, b_factor in -2.0_f32..2.0) {
        let (a, b) = (random(length, 1), random(length, 2));
        let naive = |(a, b): (&f32, &f32)| {
            f64::from(*a) * f64::from(a_factor) + f64::from(*b) * f64::from(b_factor)
        };
        let want: Vec<f64> = a.iter().zip(&b).map(naive).collect();
        for got in on_each_backend!([out: length], [a, b], |on| {
            on.blend(out, (a, a_factor), (b, b_factor))
        }) {
            got.assert_as_close(&want, 1e-6);
        }
    }

    #[test]
    fn add_table_repeats_the_table(period in 1_usize..40, times in 1_usize..5) {
        let (x, table) = (random(period * times, 1), random(period, 2));
        let want = x.iter().enumerate().map(|(i, x)| f64::from(x + table[i % period]));
        let want: Vec<f64> = want.collect();
        for got in on_each_backend!([out: x.len()], [x, table], |b| b.add_table(out, x, table)) {
            got.assert_as_close(&want, 0.0);
        }
    }

    #[test]
    fn silu_matches_its_formula(length in 1_usize..100) {
        let x: Vec<f32> = random(length, 1).iter().map(|x| 20.0 * x).collect();
        let naive = |x: &f32| f64::from(*x) / (1.0 + (-f64::from(*x)).exp());
        let want: Vec<f64> = x.iter().map(naive).collect();
        for got in on_each_backend!([out: length], [x], |b| b.map(out, x, Unary::Silu)) {
            got.assert_as_close(&want, 4e-6);
        }
    }

    #[test]
    fn gelu_matches_its_formula(length in 1_usize..100) {
        let x: Vec<f32> = random(length, 1).iter().map(|x| 20.0 * x).collect();
        let naive = |x: &f32| {
            let x = f64::from(*x);
            let u = (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + u.tanh())
        };
        let want: Vec<f64> = x.iter().map(naive).collect();
        for got in on_each_backend!([out: length], [x], |b| b.map(out, x, Unary::Gelu)) {
            got.assert_close(&want, 4e-6);
        }
    }

    #[test]
    fn gated_matches_its_formula(rows in 1_usize..9, width in 1_usize..40, each in 1_usize..5, start in 0_usize..3) {
        let stride = width + 3;
        let (residual, x) = (random(rows * width, 1), random(rows * width, 2));
        let table = random(rows.div_ceil(each) * stride, 3);
        let want = (0..rows * width).map(|i| {
            let gate = table[i / width / each * stride + start + i % width];
            f64::from(residual[i]) + f64::from(gate) * f64::from(x[i])
        });
        let want: Vec<f64> = want.collect();
        for got in on_each_backend!([out: x.len()], [residual, x, table], |b| {
            b.gated(out, residual, x, PerRow { table, start, stride, rows: each }, width)
        }) {
            got.assert_as_close(&want, 2e-7);
        }
    }

    #[test]
    fn scale_rows_and_place_rows_match_their_formulas(rows in 1_usize..9, width in 1_usize..20, start in 0_usize..5) {
        let (x, factors) = (random(rows * width, 1), random(rows, 2));
        for got in on_each_backend!([out: x.len()], [x, factors], |b| b.scale_rows(out, x, factors)) {
            let scaled = got.values;
            prop_assert!((0..x.len()).all(|i| scaled[i] == x[i] * factors[i / width]));
        }

        let stride = start + width + 2;
        let before = random(rows * stride, 3);
        for got in on_each_backend!([out: rows * stride], [x, before], |b| {
            b.copy(out, before)
                .and_then(|()| b.place_rows(out, x, PlaceDims { rows, width, stride, start }))
        }) {
            for (i, value) in got.values.iter().enumerate() {
                let (row, column) = (i / stride, i % stride);
                let inside = (start..start + width).contains(&column);
                let want = if inside { x[row * width + column - start] } else { before[i] };
                prop_assert_eq!(*value, want);
            }
        }
    }

    #[test]
    fn leaky_relu_scales_negative_numbers(length in 1_usize..600, slope in 0.0_f32..1.0) {
        let x = random(length, 1);
        let f = Unary::LeakyRelu { slope };
        for got in on_each_backend!([out: length], [x], |b| b.map(out, x, f)) {
            let want = x.iter().map(|x| if *x > 0.0 { *x } else { slope * x });
            prop_assert!(got.values.into_iter().eq(want), "{}", got.name);
        }
    }
}

#[test]
fn relu_keeps_nan() {
    let x = [-2.0, -0.0, 0.0, 3.0, f32::INFINITY, f32::NAN];
    for got in on_each_backend!([out: 6], [x], |b| b.map(out, x, Unary::RELU)) {
        assert_eq!(got.values[..5], [0.0, 0.0, 0.0, 3.0, f32::INFINITY], "{}", got.name);
        assert!(got.values[5].is_nan(), "{}", got.name);
    }
}

#[test]
fn map_accepts_empty_input() {
    let x = [];
    for f in [Unary::Gelu, Unary::Silu, Unary::RELU] {
        for got in on_each_backend!([out: 0], [x], |b| b.map(out, x, f)) {
            assert!(got.values.is_empty());
        }
    }
}
