//! Sums over rows against naive ones.

use proptest::prelude::*;

use super::{Dims, Sums};
use crate::grad::testing::{on_each_backend, random};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn part_of_each_row_is_added_up(
        rows in 1_usize..600, width in 1_usize..100, start in 0_usize..9, seed: u64,
    ) {
        let d = Dims { rows, stride: start + width + 3, start };
        let (x, before) = (random(rows * d.stride, seed), random(width, !seed));
        let want: Vec<f64> = (0..width)
            .map(|c| {
                let column = (0..rows).map(|r| f64::from(x[r * d.stride + start + c]));
                f64::from(before[c]) + column.sum::<f64>()
            })
            .collect();
        for got in on_each_backend!([out: before], [x], [], |b| b.sum_rows(out, x, d)) {
            got.assert_close(&want, 5e-5);
        }
    }

    #[test]
    fn multiple_is_added(length in 1_usize..100, factor in -3.0_f32..3.0, seed: u64) {
        let (x, before) = (random(length, seed), random(length, !seed));
        let want = x.iter().zip(&before).map(|(x, before)| x.mul_add(factor, *before));
        let want: Vec<f32> = want.collect();
        for got in on_each_backend!([out: before], [x], [], |b| b.add_scaled(out, x, factor)) {
            prop_assert_eq!(&got.values, &want, "{}", got.name);
        }
    }
}
