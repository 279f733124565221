//! Gradients of the adaptive LayerNorm against finite differences.

use proptest::prelude::*;
use var_kernel::ops::PerRow;
use var_kernel::ops::layer_norm::Dims;

use super::LayerNormBackward;
use crate::grad::table::TableSlice;
use crate::grad::testing::{differences, on_each_backend, random};

const EPS: f32 = 1e-6;

/// Where the scale begins in a row of the table; the shift follows it.
const START: usize = 4;

/// The forward pass.
fn naive(x: &[f64], table: &[f64], each: usize, stride: usize, channels: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for (r, row) in x.chunks_exact(channels).enumerate() {
        let part = &table[r / each * stride + START..];
        let mean = row.iter().sum::<f64>() / channels as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / channels as f64;
        let deviation = (variance + f64::from(EPS)).sqrt();
        for (c, x) in row.iter().enumerate() {
            out.push((x - mean) / deviation * (1.0 + part[c]) + part[channels + c]);
        }
    }
    out
}

fn check(rows: usize, channels: usize, each: usize, stride: usize, seed: u64) {
    let d = Dims { rows, channels };
    let (x, dy) = (random(rows * channels, seed), random(rows * channels, !seed));
    let table = random(rows.div_ceil(each) * stride, seed ^ 9);
    let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();

    let want = differences(&x, &dy, |x| naive(x, &wide(&table), each, stride, channels));
    for got in on_each_backend!([dx: vec![0.0; x.len()]], [dy, x, table], [], |b| {
        let scale = PerRow { table, start: START, stride, rows: each };
        b.layer_norm_backward_x(dx, dy, x, scale, EPS, d)
    }) {
        got.assert_close(&want, 1e-3);
    }

    let part = TableSlice { start: START, stride, rows: each };
    let want = differences(&table, &dy, |table| naive(&wide(&x), table, each, stride, channels));
    for got in on_each_backend!([dtable: vec![0.0; table.len()]], [dy, x], [], |b| {
        b.layer_norm_backward_scale(dtable, dy, x, part, EPS, d).and_then(|()| {
            let part = TableSlice { start: START + channels, ..part };
            b.layer_norm_backward_shift(dtable, dy, part, d)
        })
    }) {
        got.assert_close(&want, 1e-4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn matches_finite_differences(
        rows in 1_usize..10, channels in 2_usize..40, each in 1_usize..4, fours: bool, seed: u64,
    ) {
        let channels = if fours { channels.next_multiple_of(4) } else { channels };
        let stride = if fours { 2 * channels + START } else { 2 * channels + START + 3 };
        check(rows, channels, each, stride, seed);
    }
}

#[test]
fn many_rows_share_a_row_of_the_table() {
    check(210, 6, 200, 2 * 6 + START, 1);
}
