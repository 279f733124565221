//! resize against a naive oracle.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Dims, Resize};
use crate::ops::testing::{on_each_backend, on_each_cpu, random};

/// The weights of the input's cells for output cell `i`: Keys' kernel at each distance; weights
/// outside the grid go to the border's cell.
pub(in crate::ops) fn cubic_weights(i: usize, from: usize, to: usize) -> Vec<f64> {
    let a = -0.75;
    let center = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    let mut weights = vec![0.0; from];
    for cell in -3..from as i64 + 3 {
        let x = (cell as f64 - center).abs();
        let weight = match x {
            x if x < 1.0 => (a + 2.0) * x.powi(3) - (a + 3.0) * x.powi(2) + 1.0,
            x if x < 2.0 => a * x.powi(3) - 5.0 * a * x.powi(2) + 8.0 * a * x - 4.0 * a,
            _ => 0.0,
        };
        weights[cell.clamp(0, from as i64 - 1) as usize] += weight;
    }
    weights
}

/// The weights of adaptive average pooling.
fn area_weights(i: usize, from: usize, to: usize) -> Vec<f64> {
    let low = (i as f64 * from as f64 / to as f64).floor() as usize;
    let high = ((i + 1) as f64 * from as f64 / to as f64).ceil() as usize;
    (0..from).map(|cell| f64::from((low..high).contains(&cell)) / (high - low) as f64).collect()
}

fn oracle(x: &[f32], d: Dims, weights: fn(usize, usize, usize) -> Vec<f64>) -> Vec<f64> {
    let axis: Vec<_> = (0..d.to).map(|i| weights(i, d.from, d.to)).collect();
    let mut out = vec![0.0; d.batch * d.to * d.to * d.channels];
    for (cell, value) in out.iter_mut().enumerate() {
        let (position, c) = (cell / d.channels, cell % d.channels);
        let (b, y, x_out) = (position / d.to / d.to, position / d.to % d.to, position % d.to);
        for row in 0..d.from {
            for column in 0..d.from {
                let from = ((b * d.from + row) * d.from + column) * d.channels + c;
                *value += axis[y][row] * axis[x_out][column] * f64::from(x[from]);
            }
        }
    }
    out
}

fn compare(d: Dims) {
    let x = random(d.batch * d.from * d.from * d.channels, (d.from * 64 + d.to) as u64);
    let length = d.batch * d.to * d.to * d.channels;
    let (cubic, mean) = (oracle(&x, d, cubic_weights), oracle(&x, d, area_weights));
    for got in on_each_backend!([out: length], [x], |b| b.bicubic(out, x, d)) {
        got.assert_as_close(&cubic, 1e-6);
    }
    for got in on_each_backend!([out: length], [x], |b| b.area(out, x, d)) {
        got.assert_as_close(&mean, 1e-6);
    }
}

#[test]
fn maps_of_the_published_ladders_match_naive() {
    for (from, to) in [(1, 16), (2, 16), (13, 16), (16, 16), (16, 13), (16, 5), (16, 1), (32, 24)] {
        compare(Dims { batch: 1, from, to, channels: 32 });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn resize_matches_naive_at_any_sides_and_channels(batch in 0_usize..3, from in 1_usize..9, to in 1_usize..9, channels in 1_usize..40) {
        compare(Dims { batch, from, to, channels });
    }
}

#[test]
#[should_panic(expected = "x is not batch")]
fn slice_of_another_length_is_refused() {
    let d = Dims { batch: 1, from: 2, to: 2, channels: 1 };
    on_each_cpu(4, |cpu, out| cpu.area(out, &[0.0; 3], d).unwrap());
}
