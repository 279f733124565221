//! Gradients of a linear layer against chains of scalars.

use proptest::prelude::*;
use var_kernel::ops::linear::Dims;

use super::LinearBackward;
use crate::grad::testing::{on_each_backend, random};

fn check(d: Dims, tolerance: f64, seed: u64) {
    let Dims { rows, inner, outer } = d;
    let (x, dy) = (random(rows * inner, seed), random(rows * outer, seed ^ 1));
    let (weight, before) = (random(outer * inner, seed ^ 2), random(x.len(), seed ^ 3));
    let product = |before: &[f32], i: usize, count: usize, of: &dyn Fn(usize) -> (f32, f32)| {
        let terms = (0..count).map(of).map(|(a, b)| f64::from(a) * f64::from(b));
        f64::from(before[i]) + terms.sum::<f64>()
    };

    let want: Vec<f64> = (0..x.len())
        .map(|i| {
            let (r, k) = (i / inner, i % inner);
            product(&before, i, outer, &|c| (dy[r * outer + c], weight[c * inner + k]))
        })
        .collect();
    for got in on_each_backend!([dx: before], [dy], [weight: [outer, inner]], |b| {
        b.linear_backward_x(dx, dy, weight, d)
    }) {
        got.assert_close(&want, tolerance);
    }

    let before = random(weight.len(), seed ^ 4);
    let want: Vec<f64> = (0..weight.len())
        .map(|i| {
            let (c, k) = (i / inner, i % inner);
            product(&before, i, rows, &|r| (dy[r * outer + c], x[r * inner + k]))
        })
        .collect();
    for got in on_each_backend!([dweight: before], [dy, x], [], |b| {
        b.linear_backward_weight(dweight, dy, x, d)
    }) {
        got.assert_close(&want, tolerance);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn both_gradients_match_their_formulas(
        rows in 1_usize..50, inner in 1_usize..70, outer in 1_usize..70, eights: bool, seed: u64,
    ) {
        // Tensor cores take rows of eights.
        let side = |side: usize| if eights { side.next_multiple_of(8) } else { side };
        check(Dims { rows, inner: side(inner), outer: side(outer) }, 1e-5, seed);
    }
}

/// TF32 gives factors of both gradients ten bits of mantissa, to the nearest, halves away from zero.
#[cfg(feature = "cuda")]
#[test]
fn tf32_rounds_factors_only() {
    use var_kernel::cpu::Matrix;
    use var_kernel::cuda::Precision;
    use var_testing::cuda::gpus;

    const STEP: f32 = 1.0 / 1024.0;
    const FINE: f32 = STEP / 1024.0;
    let dy = [1.0 + STEP / 2.0, 1.0 + STEP / 2.0 - FINE, -1.0 - STEP / 2.0, 1.0 + 1.5 * STEP];
    let want = [1.0 + STEP, 1.0, -1.0 - STEP, 1.0 + 2.0 * STEP].map(|factor| factor + FINE);
    for gpu in gpus().iter().filter(|gpu| gpu.cuda.precision() == Precision::Tf32) {
        let (dy, one) = (gpu.put(&dy), gpu.put(&[1.0]));
        let weight = gpu.matrix(Matrix::F32(&[1.0]), &[1, 1]);
        let mut dx = gpu.put(&[FINE; 4]);
        let d = Dims { rows: 4, inner: 1, outer: 1 };
        gpu.cuda.linear_backward_x(&mut dx, &dy, weight.view(), d).unwrap();
        assert_eq!(gpu.read(&dx), want, "{}: dx", gpu.name);
        let mut dweight = gpu.put(&[FINE; 4]);
        let d = Dims { rows: 1, inner: 1, outer: 4 };
        gpu.cuda.linear_backward_weight(&mut dweight, &dy, &one, d).unwrap();
        assert_eq!(gpu.read(&dweight), want, "{}: dweight", gpu.name);
    }
}

#[test]
fn large_tiles_and_a_shared_depth() {
    for (rows, inner, outer) in [(401, 136, 72), (70, 72, 401), (70, 104, 600), (600, 30, 4)] {
        check(Dims { rows, inner, outer }, 5e-5, 5);
    }
}
