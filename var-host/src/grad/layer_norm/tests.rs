//! Gradients of the adaptive LayerNorm against finite differences.

use proptest::prelude::*;
use var_kernel::ops::PerRow;
use var_kernel::ops::layer_norm::Dims;

use super::LayerNormBackward;
use crate::grad::combine::Part;
use crate::grad::testing::{assert_close, differences, on_each_cpu, random};

const EPS: f32 = 1e-6;

/// The forward pass: rows of `x`, then a table with scale at 1 and shift at `1 + channels`.
fn naive(x: &[f64], table: &[f64], each: usize, stride: usize, channels: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for (r, row) in x.chunks_exact(channels).enumerate() {
        let part = &table[r / each * stride + 1..];
        let mean = row.iter().sum::<f64>() / channels as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / channels as f64;
        let deviation = (variance + f64::from(EPS)).sqrt();
        for (c, x) in row.iter().enumerate() {
            out.push((x - mean) / deviation * (1.0 + part[c]) + part[channels + c]);
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn matches_finite_differences(
        rows in 1_usize..10, channels in 2_usize..40, each in 1_usize..4, seed: u64,
    ) {
        let stride = 2 * channels + 3;
        let d = Dims { rows, channels };
        let (x, dy) = (random(rows * channels, seed), random(rows * channels, !seed));
        let table = random(rows.div_ceil(each) * stride, seed ^ 9);
        let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();

        let scale = PerRow { table: &table[..], start: 1, stride, rows: each };
        let dx = on_each_cpu(x.len(), |cpu, dx| {
            dx.fill(0.0);
            let Ok(()) = cpu.layer_norm_backward_x(dx, &dy, &x, scale, EPS, d);
        });
        let want = differences(&x, &dy, |x| naive(x, &wide(&table), each, stride, channels));
        assert_close(&dx, &want, 1e-3);

        let part = Part { start: 1, stride, rows: each };
        let dtable = on_each_cpu(table.len(), |cpu, dtable| {
            dtable.fill(0.0);
            let Ok(()) = cpu.layer_norm_backward_scale(dtable, &dy, &x, part, EPS, d);
            let part = Part { start: 1 + channels, ..part };
            let Ok(()) = cpu.layer_norm_backward_shift(dtable, &dy, part, d);
        });
        let want = differences(&table, &dy, |table| naive(&wide(&x), table, each, stride, channels));
        assert_close(&dtable, &want, 1e-4);
    }
}
