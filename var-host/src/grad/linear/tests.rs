//! Gradients of a linear layer against chains of scalars.

use proptest::prelude::*;
use var_kernel::cpu::Matrix;
use var_kernel::ops::linear::Dims;

use super::LinearBackward;
use crate::grad::testing::{assert_close, on_each_cpu, random};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn both_gradients_match_their_formulas(
        rows in 1_usize..50, inner in 1_usize..70, outer in 1_usize..70, seed: u64,
    ) {
        let d = Dims { rows, inner, outer };
        let (x, dy) = (random(rows * inner, seed), random(rows * outer, seed ^ 1));
        let (weight, before) = (random(outer * inner, seed ^ 2), random(70 * 70, seed ^ 3));
        let product = |i: usize, count: usize, of: &dyn Fn(usize) -> (f32, f32)| {
            let terms = (0..count).map(of).map(|(a, b)| f64::from(a) * f64::from(b));
            f64::from(before[i]) + terms.sum::<f64>()
        };

        let dx = on_each_cpu(x.len(), |cpu, out| {
            out.copy_from_slice(&before[..out.len()]);
            let Ok(()) = cpu.linear_backward_x(out, &dy, Matrix::F32(&weight), d);
        });
        let want: Vec<f64> = (0..x.len()).map(|i| {
            let (r, k) = (i / inner, i % inner);
            product(i, outer, &|c| (dy[r * outer + c], weight[c * inner + k]))
        }).collect();
        assert_close(&dx, &want, 1e-5);

        let dweight = on_each_cpu(weight.len(), |cpu, out| {
            out.copy_from_slice(&before[..out.len()]);
            let Ok(()) = cpu.linear_backward_weight(out, &dy, &x, d);
        });
        let want: Vec<f64> = (0..weight.len()).map(|i| {
            let (c, k) = (i / inner, i % inner);
            product(i, rows, &|r| (dy[r * outer + c], x[r * inner + k]))
        }).collect();
        assert_close(&dweight, &want, 1e-5);
    }
}
