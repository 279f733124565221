//! Adaptive LayerNorm against a naive oracle.

use std::vec::Vec;

use proptest::prelude::*;

use super::{Dims, LayerNorm};
use crate::ops::PerRow;
use crate::ops::testing::{on_each_backend, random};

const EPS: f32 = 1e-6;

fn naive(x: &[f32], scale: PerRow<'_, [f32]>, shift: PerRow<'_, [f32]>, width: usize) -> Vec<f64> {
    let rows = x.chunks_exact(width).enumerate();
    rows.flat_map(|(r, row)| {
        let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / width as f64;
        let squares = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>();
        let deviation = (squares / width as f64 + f64::from(EPS)).sqrt();
        let parts = scale.row(r, width).iter().zip(shift.row(r, width));
        let modulate = move |(x, (scale, shift)): (&f32, (&f32, &f32))| {
            (f64::from(*x) - mean) / deviation * (1.0 + f64::from(*scale)) + f64::from(*shift)
        };
        row.iter().zip(parts).map(modulate).collect::<Vec<_>>()
    })
    .collect()
}

proptest! {
    #[test]
    fn matches_naive(rows in 1_usize..20, channels in 2_usize..70, shared in 1_usize..5) {
        let stride = 2 * channels + 3;
        let table = random(rows.div_ceil(shared) * stride, 1);
        let part = |start| PerRow { table: &table[..], start, stride, rows: shared };
        let x: Vec<f32> = random(rows * channels, 2).iter().map(|x| 5.0 + 3.0 * x).collect();
        let want = naive(&x, part(3), part(3 + channels), channels);
        for got in on_each_backend!([out: x.len()], [x, table], |b| {
            let scale = PerRow { table, start: 3, stride, rows: shared };
            let shift = PerRow { start: 3 + channels, ..scale };
            b.layer_norm(out, x, scale, shift, EPS, Dims { rows, channels })
        }) {
            got.assert_close(&want, 2e-4);
        }
    }
}

#[test]
fn model_s_width_is_within_four_units_of_float() {
    for channels in [1024, 1920, 2304] {
        let (rows, stride) = (3, 2 * channels);
        let table = random(stride, 3);
        let part = |start| PerRow { table: &table[..], start, stride, rows };
        let x = random(rows * channels, 4);
        let want = naive(&x, part(0), part(channels), channels);
        for got in on_each_backend!([out: x.len()], [x, table], |b| {
            let scale = PerRow { table, start: 0, stride, rows };
            let shift = PerRow { start: channels, ..scale };
            b.layer_norm(out, x, scale, shift, EPS, Dims { rows, channels })
        }) {
            got.assert_close(&want, 2e-6);
        }
    }
}
