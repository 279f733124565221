//! group_norm against a naive oracle.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Activation, Dims, GroupNorm};
use crate::ops::testing::{on_each_backend, random};

const EPS: f32 = 1e-6;

fn oracle(x: &[f32], weight: &[f32], bias: &[f32], activation: Activation, d: Dims) -> Vec<f64> {
    let width = d.channels / d.groups;
    let mut out = vec![0.0; x.len()];
    for picture in 0..d.batch {
        for group in 0..d.groups {
            let mut places = Vec::new();
            for position in 0..d.positions {
                let row = (picture * d.positions + position) * d.channels;
                places.extend(row + group * width..row + (group + 1) * width);
            }
            let count = places.len() as f64;
            let mean = places.iter().map(|i| f64::from(x[*i])).sum::<f64>() / count;
            let variance =
                places.iter().map(|i| (f64::from(x[*i]) - mean).powi(2)).sum::<f64>() / count;
            for i in places {
                let normal = (f64::from(x[i]) - mean) / (variance + f64::from(EPS)).sqrt();
                let (weight, bias) = (weight[i % d.channels], bias[i % d.channels]);
                let y = normal * f64::from(weight) + f64::from(bias);
                out[i] = match activation {
                    Activation::None => y,
                    Activation::Silu => y / (1.0 + (-y).exp()),
                };
            }
        }
    }
    out
}

/// `x` with `offset` added, so that mean and spread differ.
fn compare(d: Dims, offset: f32, tolerance: f64) {
    let mut x = random(d.batch * d.positions * d.channels, d.channels as u64);
    x.iter_mut().for_each(|x| *x += offset);
    let (weight, bias) = (random(d.channels, 5), random(d.channels, 6));
    for activation in [Activation::None, Activation::Silu] {
        let want = oracle(&x, &weight, &bias, activation, d);
        for got in on_each_backend!([out: x.len()], [x, weight, bias], |b| {
            b.group_norm(out, x, weight, bias, EPS, activation, d)
        }) {
            got.assert_close(&want, tolerance);
        }
    }
}

#[test]
fn widths_of_the_published_network() {
    for (positions, channels) in [(1024, 160), (700, 320), (256, 640), (5000, 32)] {
        compare(Dims { batch: 2, positions, channels, groups: 32 }, 0.0, 2e-6);
    }
}

#[test]
fn mean_far_from_zero_costs_only_its_own_digits() {
    compare(Dims { batch: 1, positions: 3000, channels: 160, groups: 32 }, 100.0, 3e-4);
}

#[test]
fn groups_beyond_those_kept_at_a_time_match_naive() {
    compare(Dims { batch: 2, positions: 9, channels: 300, groups: 150 }, 0.0, 2e-6);
}

#[test]
fn constant_picture_becomes_the_bias() {
    let d = Dims { batch: 1, positions: 49, channels: 8, groups: 2 };
    let (weight, bias) = (random(8, 1), random(8, 2));
    let x = [0.5; 49 * 8];
    let want: Vec<f64> = (0..49 * 8).map(|i| f64::from(bias[i % 8])).collect();
    for got in on_each_backend!([out: 49 * 8], [x, weight, bias], |b| {
        b.group_norm(out, x, weight, bias, EPS, Activation::None, d)
    }) {
        got.assert_close(&want, 1e-4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn group_norm_matches_naive_at_any_sizes(batch in 0_usize..3, positions in 1_usize..90, groups in 1_usize..34, width in 1_usize..21) {
        // Of few numbers all may be nearly alike, and their small differences are then multiplied.
        prop_assume!(positions * width >= 8);
        let d = Dims { batch, positions, channels: groups * width, groups };
        compare(d, 0.0, 2e-5);
    }
}
