//! max_pool against its formula.

use std::vec::Vec;

use proptest::prelude::*;

use super::{Dims, MaxPool};
use crate::ops::testing::{on_each_backend, on_each_cpu, random};

proptest! {
    #[test]
    fn the_greatest_of_four_cells_is_kept(
        batch in 0_usize..3, height in 1_usize..8, width in 1_usize..8, channels in 1_usize..40,
    ) {
        let d = Dims { batch, height, width, channels };
        let x = random(batch * height * width * channels, 1);
        let (rows, columns) = d.out_grid();
        let at = |picture: usize, y: usize, column: usize, c: usize| {
            x[((picture * height + y) * width + column) * channels + c]
        };
        let mut want = Vec::new();
        for (picture, y) in (0..batch * rows).map(|i| (i / rows, i % rows)) {
            for (column, c) in (0..columns * channels).map(|i| (i / channels, i % channels)) {
                let mut most = f32::NEG_INFINITY;
                for (down, right) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    most = most.max(at(picture, 2 * y + down, 2 * column + right, c));
                }
                want.push(most);
            }
        }
        for got in on_each_backend!([out: d.out_len()], [x], |b| b.max_pool(out, x, d)) {
            prop_assert_eq!(&got.values, &want, "{}", got.name);
        }
    }
}

#[test]
#[should_panic(expected = "max_pool: out is not a quarter")]
fn an_output_of_another_size_is_refused() {
    let d = Dims { batch: 1, height: 5, width: 4, channels: 2 };
    on_each_cpu(12, |cpu, out| {
        let Ok(()) = cpu.max_pool(out, &[0.0; 40], d);
    });
}
