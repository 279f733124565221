//! Adaptive LayerNorm against a naive oracle.

use std::vec::Vec;

use proptest::prelude::*;

use super::{Dims, LayerNorm};
use crate::ops::PerRow;
use crate::ops::testing::{assert_close, on_each_cpu, random};

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
        let (scale, shift) = (part(3), part(3 + channels));
        let x: Vec<f32> = random(rows * channels, 2).iter().map(|x| 5.0 + 3.0 * x).collect();
        let got = on_each_cpu(x.len(), |cpu, out| {
            let Ok(()) = cpu.layer_norm(out, &x, scale, shift, EPS, Dims { rows, channels });
        });
        assert_close(&got, &naive(&x, scale, shift, channels), 2e-4);
    }
}

#[test]
fn a_model_s_width_is_within_four_units_of_float() {
    let (rows, channels) = (3, 1024);
    let table = random(2 * channels, 3);
    let part = |start| PerRow { table: &table[..], start, stride: 2 * channels, rows };
    let x = random(rows * channels, 4);
    let got = on_each_cpu(x.len(), |cpu, out| {
        let Ok(()) = cpu.layer_norm(out, &x, part(0), part(channels), EPS, Dims { rows, channels });
    });
    assert_close(&got, &naive(&x, part(0), part(channels), channels), 2e-6);
}
