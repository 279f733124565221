//! Gradients of group normalization against finite differences.

use proptest::prelude::*;
use var_kernel::memory::Floats;
use var_kernel::ops::group_norm::{Activation, Dims};

use super::{Forward, GroupNormBackward};
use crate::grad::testing::{AllocBuffer, BackendOutput, differences, on_each_backend, random};

const EPS: f32 = 1e-6;

/// The forward pass of x, weight and bias, one behind the other.
fn naive(operands: &[f64], activation: Activation, d: Dims) -> Vec<f64> {
    let (x, parameters) = operands.split_at(d.batch * d.positions * d.channels);
    let (weight, bias) = parameters.split_at(d.channels);
    let width = d.channels / d.groups;
    let mut out = vec![0.0; x.len()];
    for picture in 0..d.batch {
        for group in 0..d.groups {
            let places: Vec<usize> = (0..d.positions)
                .flat_map(|position| {
                    let row = (picture * d.positions + position) * d.channels;
                    row + group * width..row + (group + 1) * width
                })
                .collect();
            let count = places.len() as f64;
            let mean = places.iter().map(|i| x[*i]).sum::<f64>() / count;
            let variance = places.iter().map(|i| (x[*i] - mean).powi(2)).sum::<f64>() / count;
            for i in places {
                let n = (x[i] - mean) / (variance + f64::from(EPS)).sqrt();
                let y = n * weight[i % d.channels] + bias[i % d.channels];
                out[i] = match activation {
                    Activation::None => y,
                    Activation::Silu => y / (1.0 + (-y).exp()),
                };
            }
        }
    }
    out
}

/// Every backend's gradients of x, weight and bias, concatenated, each added to `before`.
fn gradients(
    operands: &[f32],
    before: &[f32],
    dout: &[f32],
    activation: Activation,
    d: Dims,
) -> Vec<BackendOutput> {
    let (x, parameters) = operands.split_at(dout.len());
    let (weight, bias) = parameters.split_at(d.channels);
    let (dx_before, rest) = before[..operands.len()].split_at(dout.len());
    let (dweight_before, of_bias) = rest.split_at(d.channels);
    on_each_backend!(
        [dx: dx_before, dweight: dweight_before, dbias: of_bias],
        [x, weight, bias, dout],
        [],
        |b| {
            let of = Forward { x, weight, bias, eps: EPS, activation };
            let mut sums = b.alloc(b.group_norm_backward_sums(d));
            let mut alone = b.alloc(b.group_norm_backward_sums(d));
            b.group_norm_backward_x(Some(dx), &mut sums, dout, of, d)
                .and_then(|()| b.group_norm_backward_x(None, &mut alone, dout, of, d))
                .and_then(|()| {
                    assert_eq!(read(b, &sums), read(b, &alone), "without dx the sums differ");
                    b.group_norm_backward_parameters([dweight, dbias], &sums, d)
                })
        }
    )
}

fn read<B: AllocBuffer>(b: &B, run: &B::Slice) -> Vec<f32> {
    let mut values = vec![0.0; run.len()];
    assert!(b.download(&mut values, run).is_ok());
    values
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn matches_finite_differences(
        batch in 1_usize..3, positions in 2_usize..9, groups in 1_usize..4, width in 1_usize..9,
        silu: bool, seed: u64,
    ) {
        let d = Dims { batch, positions, channels: groups * width, groups };
        let activation = if silu { Activation::Silu } else { Activation::None };
        let x = batch * positions * d.channels;
        let operands = random(x + 2 * d.channels, seed);
        let (before, dout) = (random(operands.len(), 7), random(x, !seed));
        let differences = differences(&operands, &dout, |operands| naive(operands, activation, d));
        let want: Vec<f64> =
            differences.iter().zip(&before).map(|(x, before)| x + f64::from(*before)).collect();
        for got in gradients(&operands, &before, &dout, activation, d) {
            got.assert_close(&want, 1e-4);
        }
    }
}

/// More pieces than one and more groups than are measured at a time: moving all numbers of a group by
/// the same amount, or by a small part of themselves, changes nothing, so the gradient is at right
/// angles to both; and its own sums are the parameters'.
#[test]
fn large_picture_is_not_moved_along_its_own_mean_and_spread() {
    for (positions, channels, groups) in [(3000, 33, 11), (700, 320, 32), (64, 200, 100)] {
        let d = Dims { batch: 2, positions, channels, groups };
        let operands = random(2 * positions * channels + 2 * channels, 3);
        let (before, dout) = (vec![0.0; operands.len()], random(2 * positions * channels, 4));
        let width = channels / groups;
        for BackendOutput { name, values, .. } in
            gradients(&operands, &before, &dout, Activation::Silu, d)
        {
            for group in 0..groups {
                let (mut sum, mut along, mut size) = (0.0, 0.0, 0.0);
                for position in positions..2 * positions {
                    let first = position * channels + group * width;
                    for i in first..first + width {
                        let (dx, x) = (f64::from(values[i]), f64::from(operands[i]));
                        (sum, along, size) = (sum + dx, along + dx * x, size + dx.abs());
                    }
                }
                assert!(sum.abs() <= 1e-5 * size, "{name}, {d:?}: {sum} of {size}");
                assert!(along.abs() <= 1e-5 * size, "{name}, {d:?}: {along} of {size}");
            }
        }
    }
}
