//! Operations of one pass against naive oracles.

use std::vec::Vec;

use proptest::prelude::*;

use super::Combine;
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
    fn embedding_copies_rows(width in 1_usize..20, indices in prop::collection::vec(0_u32..7, 1..9)) {
        let table = random(7 * width, 1);
        let got = on_each_cpu(indices.len() * width, |cpu, out| {
            let Ok(()) = cpu.embedding(out, &table, &indices, width);
        });
        let want = indices.iter().flat_map(|i| &table[*i as usize * width..][..width]);
        prop_assert!(got.iter().eq(want));
    }
}
