//! Operations of one pass against naive oracles.

use std::vec::Vec;

use proptest::prelude::*;

use super::{Combine, PlaceDims};
use crate::ops::PerRow;
use crate::ops::testing::{assert_close, on_each_cpu, random};

proptest! {
    #[test]
    fn blend_matches_naive(length in 1_usize..100, a_factor in -2.0_f32..2.0, b_factor in -2.0_f32..2.0) {
        let (a, b) = (random(length, 1), random(length, 2));
        let got = on_each_cpu(length, |cpu, out| {
            let Ok(()) = cpu.blend(out, (&a, a_factor), (&b, b_factor));
        });
        let naive = |(a, b): (&f32, &f32)| {
            f64::from(*a) * f64::from(a_factor) + f64::from(*b) * f64::from(b_factor)
        };
        assert_close(&got, &a.iter().zip(&b).map(naive).collect::<Vec<_>>(), 1e-6);
    }

    #[test]
    fn a_table_is_added_to_every_period(period in 1_usize..40, times in 1_usize..5) {
        let (x, table) = (random(period * times, 1), random(period, 2));
        let got = on_each_cpu(x.len(), |cpu, out| {
            let Ok(()) = cpu.add_table(out, &x, &table);
        });
        let want = x.iter().enumerate().map(|(i, x)| f64::from(x + table[i % period]));
        assert_close(&got, &want.collect::<Vec<_>>(), 0.0);
    }

    #[test]
    fn silu_matches_naive(length in 1_usize..100) {
        let x: Vec<f32> = random(length, 1).iter().map(|x| 20.0 * x).collect();
        let got = on_each_cpu(length, |cpu, out| {
            let Ok(()) = cpu.silu(out, &x);
        });
        let naive = |x: &f32| f64::from(*x) / (1.0 + (-f64::from(*x)).exp());
        assert_close(&got, &x.iter().map(naive).collect::<Vec<_>>(), 4e-6);
    }

    #[test]
    fn gelu_matches_naive(length in 1_usize..100) {
        let x: Vec<f32> = random(length, 1).iter().map(|x| 20.0 * x).collect();
        let got = on_each_cpu(length, |cpu, out| {
            let Ok(()) = cpu.gelu(out, &x);
        });
        let naive = |x: &f32| {
            let x = f64::from(*x);
            let u = (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + u.tanh())
        };
        assert_close(&got, &x.iter().map(naive).collect::<Vec<_>>(), 4e-6);
    }

    #[test]
    fn gated_matches_naive(rows in 1_usize..9, width in 1_usize..40, each in 1_usize..5, start in 0_usize..3) {
        let stride = width + 3;
        let (residual, x) = (random(rows * width, 1), random(rows * width, 2));
        let table = random(rows.div_ceil(each) * stride, 3);
        let gate = PerRow { table: &table[..], start, stride, rows: each };
        let got = on_each_cpu(x.len(), |cpu, out| {
            let Ok(()) = cpu.gated(out, &residual, &x, gate, width);
        });
        let want = (0..rows * width).map(|i| {
            let gate = table[i / width / each * stride + start + i % width];
            f64::from(residual[i]) + f64::from(gate) * f64::from(x[i])
        });
        assert_close(&got, &want.collect::<Vec<_>>(), 2e-7);
    }

    #[test]
    fn every_row_has_its_factor_and_its_place(rows in 1_usize..9, width in 1_usize..20, start in 0_usize..5) {
        let (x, factors) = (random(rows * width, 1), random(rows, 2));
        let scaled = on_each_cpu(x.len(), |cpu, out| {
            let Ok(()) = cpu.scale_rows(out, &x, &factors);
        });
        prop_assert!((0..x.len()).all(|i| scaled[i] == x[i] * factors[i / width]));

        let stride = start + width + 2;
        let placed = on_each_cpu(rows * stride, |cpu, out| {
            out.fill(7.0);
            let Ok(()) = cpu.place_rows(out, &x, PlaceDims { rows, width, stride, start });
        });
        for (i, value) in placed.iter().enumerate() {
            let (row, column) = (i / stride, i % stride);
            let inside = (start..start + width).contains(&column);
            prop_assert_eq!(*value, if inside { x[row * width + column - start] } else { 7.0 });
        }
    }

    #[test]
    fn embedding_copies_rows(width in 1_usize..20, indices in prop::collection::vec(0_u32..7, 1..9)) {
        let table = random(7 * width, 1);
        let got = on_each_cpu(indices.len() * width, |cpu, out| {
            let Ok(()) = cpu.embedding(out, &table, &indices, width);
        });
        let want = indices.iter().flat_map(|i| &table[*i as usize * width..][..width]);
        prop_assert!(got.iter().eq(want));
    }
}
