//! Gradients of operations of one pass against finite differences and naive sums.

use proptest::prelude::*;
use var_kernel::ops::PerRow;
use var_kernel::ops::combine::PlaceDims;

use super::{CombineBackward, Part};
use crate::grad::testing::{assert_close, differences, on_each_cpu, random};

fn gelu(x: f64) -> f64 {
    let u = (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    0.5 * x * (1.0 + u.tanh())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn activations_have_the_slope_of_their_formula(length in 1_usize..70, seed: u64) {
        let x: Vec<f32> = random(length, seed).iter().map(|x| 12.0 * x).collect();
        let dy = random(length, !seed);
        let each = |f: fn(f64) -> f64| {
            differences(&x, &dy, |x| x.iter().map(|x| f(*x)).collect())
        };
        let got = on_each_cpu(length, |cpu, dx| {
            dx.fill(0.0);
            let Ok(()) = cpu.gelu_backward(dx, &dy, &x);
        });
        assert_close(&got, &each(gelu), 5e-6);
        let got = on_each_cpu(length, |cpu, dx| {
            dx.fill(0.0);
            let Ok(()) = cpu.silu_backward(dx, &dy, &x);
        });
        assert_close(&got, &each(|x| x / (1.0 + (-x).exp())), 5e-6);
    }

    #[test]
    fn gates_pass_gradients_both_ways(
        rows in 1_usize..20, width in 1_usize..40, each in 1_usize..5, start in 0_usize..3, seed: u64,
    ) {
        let (stride, all) = (width + start + 2, rows * width);
        let (x, dy) = (random(all, seed), random(all, !seed));
        let table = random(rows.div_ceil(each) * stride, seed ^ 5);
        let at = |i: usize| i / width / each * stride + start + i % width;
        let gate = PerRow { table: &table[..], start, stride, rows: each };
        let dx = on_each_cpu(all, |cpu, dx| {
            dx.fill(1.0);
            let Ok(()) = cpu.gated_backward_x(dx, &dy, gate, width);
        });
        let want: Vec<f64> =
            (0..all).map(|i| 1.0 + f64::from(dy[i]) * f64::from(table[at(i)])).collect();
        assert_close(&dx, &want, 1e-6);

        let part = Part { start, stride, rows: each };
        let dtable = on_each_cpu(table.len(), |cpu, dtable| {
            dtable.fill(1.0);
            let Ok(()) = cpu.gated_backward_gate(dtable, &dy, &x, part, width);
        });
        let mut want = vec![1.0; table.len()];
        for i in 0..all {
            want[at(i)] += f64::from(dy[i]) * f64::from(x[i]);
        }
        assert_close(&dtable, &want, 1e-5);
    }

    #[test]
    fn factors_places_and_indices_pass_gradients(
        rows in 1_usize..9, width in 1_usize..20, start in 0_usize..4, seed: u64,
    ) {
        let (dy, factors) = (random(rows * width, seed), random(rows, !seed));
        let dx = on_each_cpu(dy.len(), |cpu, dx| {
            dx.fill(1.0);
            let Ok(()) = cpu.scale_rows_backward(dx, &dy, &factors);
        });
        prop_assert!((0..dx.len()).all(|i| dx[i] == 1.0 + dy[i] * factors[i / width]));

        let d = PlaceDims { rows, width, stride: start + width + 1, start };
        let dout = random(rows * d.stride, seed ^ 2);
        let dx = on_each_cpu(dy.len(), |cpu, dx| {
            dx.fill(1.0);
            let Ok(()) = cpu.place_rows_backward(dx, &dout, d);
        });
        let from = |i: usize| dout[i / width * d.stride + start + i % width];
        prop_assert!((0..dx.len()).all(|i| dx[i] == 1.0 + from(i)));

        let indices: Vec<u32> = (0..rows).map(|row| (row * row % 3) as u32).collect();
        let dtable = on_each_cpu(3 * width, |cpu, dtable| {
            dtable.fill(1.0);
            let Ok(()) = cpu.embedding_backward(dtable, &dy, &indices, width);
        });
        let mut want = vec![1.0; 3 * width];
        for (i, dy) in dy.iter().enumerate() {
            want[indices[i / width] as usize * width + i % width] += f64::from(*dy);
        }
        assert_close(&dtable, &want, 1e-5);
    }
}
