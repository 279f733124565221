//! leaky_relu against its formula.

use proptest::prelude::*;

use super::LeakyRelu;
use crate::ops::testing::{on_each_backend, random};

proptest! {
    #[test]
    fn what_is_negative_is_scaled(length in 1_usize..600, slope in 0.0_f32..1.0) {
        let x = random(length, 1);
        for got in on_each_backend!([out: length], [x], |b| b.leaky_relu(out, x, slope)) {
            let want = x.iter().map(|x| if *x > 0.0 { *x } else { slope * x });
            prop_assert!(got.values.into_iter().eq(want), "{}", got.name);
        }
    }
}

#[test]
fn no_slope_is_relu_and_nan_stays() {
    let x = [-2.0, -0.0, 0.0, 3.0, f32::INFINITY, f32::NAN];
    for got in on_each_backend!([out: 6], [x], |b| b.leaky_relu(out, x, 0.0)) {
        assert_eq!(got.values[..5], [0.0, 0.0, 0.0, 3.0, f32::INFINITY], "{}", got.name);
        assert!(got.values[5].is_nan(), "{}", got.name);
    }
}

#[test]
fn of_nothing_comes_nothing() {
    let x = [];
    for got in on_each_backend!([out: 0], [x], |b| b.leaky_relu(out, x, 0.5)) {
        assert!(got.values.is_empty());
    }
}
