//! The gradient of pooling against finite differences.

use proptest::prelude::*;
use var_kernel::ops::max_pool::Dims;

use super::MaxPoolBackward;
use crate::grad::testing::{differences, on_each_backend, random};

fn pool(x: &[f64], d: Dims) -> Vec<f64> {
    let (rows, columns) = d.out_grid();
    let mut out = Vec::with_capacity(d.out_len());
    for cell in 0..d.batch * rows * columns {
        let (picture, y, column) = (cell / columns / rows, cell / columns % rows, cell % columns);
        for c in 0..d.channels {
            let cells = d.cells(picture, y, column).map(|at| x[at + c]);
            out.push(cells.into_iter().fold(f64::NEG_INFINITY, f64::max));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_greatest_cell_has_the_gradient(
        batch in 1_usize..3, height in 1_usize..7, width in 1_usize..7, channels in 1_usize..20,
        seed: u64,
    ) {
        let d = Dims { batch, height, width, channels };
        let (x, dy) = (random(d.in_len(), seed), random(d.out_len(), !seed));
        let (before, want) = (vec![0.0; x.len()], differences(&x, &dy, |x| pool(x, d)));
        for got in on_each_backend!([dx: before], [dy, x], [], |b| b.max_pool_backward(dx, dy, x, d)) {
            got.assert_close(&want, 1e-6);
        }
    }
}

#[test]
fn of_equals_the_first_has_it_and_it_is_added() {
    let d = Dims { batch: 1, height: 2, width: 2, channels: 1 };
    let (before, dy, x) = ([1.0; 4], [5.0], [0.0, 2.0, 2.0, 2.0]);
    for got in on_each_backend!([dx: before], [dy, x], [], |b| b.max_pool_backward(dx, dy, x, d)) {
        assert_eq!(got.values, [1.0, 6.0, 1.0, 1.0], "{}", got.name);
    }
}
