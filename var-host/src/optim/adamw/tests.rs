//! Steps against the formula in `f64`; GPUs against the CPU, bit by bit.

use proptest::prelude::*;

use super::{AdamW, Update};
use crate::grad::testing::{on_each_backend, random};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn step_is_its_formula(
        length in 1_usize..600, step in 1_u64..1000, decay in 0.0_f64..0.2, fours: bool, seed: u64,
    ) {
        let length = if fours { length.next_multiple_of(4) } else { length };
        let step = AdamW { rate: 0.01, beta_1: 0.9, beta_2: 0.95, eps: 1e-8, step };
        let (weights, m, gradient) =
            (random(length, seed), random(length, seed ^ 1), random(length, seed ^ 2));
        let v: Vec<f32> = random(length, seed ^ 3).iter().map(|v| v.abs() + 0.01).collect();
        let all = on_each_backend!([weights: weights, m: m, v: v], [gradient], [], |b| {
            b.adamw(weights, [m, v], gradient, 0.5, decay, step)
        });
        let mut want = vec![0.0; 3 * length];
        for i in 0..length {
            let g = 0.5 * f64::from(gradient[i]);
            let m = 0.9 * f64::from(m[i]) + 0.1 * g;
            let v = 0.95 * f64::from(v[i]) + 0.05 * g * g;
            let [m_hat, v_hat] =
                [(m, 0.9_f64), (v, 0.95)].map(|(x, beta)| x / (1.0 - beta.powf(step.step as f64)));
            let moved = step.rate * m_hat / (v_hat.sqrt() + step.eps);
            want[i] = f64::from(weights[i]) * (1.0 - step.rate * decay) - moved;
            want[length + i] = m;
            want[2 * length + i] = v;
        }
        for got in &all {
            got.part(0..3 * length).assert_close(&want, 1e-5);
            prop_assert_eq!(&got.values, &all[0].values, "{}", got.name);
        }
    }

    #[test]
    fn average_moves_by_its_formula(length in 1_usize..600, decay in 0.0_f32..1.0, seed: u64) {
        let (average, x) = (random(length, seed), random(length, !seed));
        let want: Vec<f32> =
            average.iter().zip(&x).map(|(a, x)| decay * a + (1.0 - decay) * x).collect();
        for got in on_each_backend!([average: average], [x], [], |b| b.average(average, x, decay)) {
            prop_assert_eq!(&got.values, &want, "{}", got.name);
        }
    }
}

#[test]
fn squares_are_added_up() {
    for length in [1, 255, 70_001] {
        let x = random(length, 3);
        let want: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        // The result is not a run: it is compared in there.
        for got in on_each_backend!([unused: [0.0]], [x], [], |b| {
            let _ = &unused;
            b.sum_of_squares(x).map(|sum| {
                assert!((sum - want).abs() <= 1e-12 * want, "{sum}, want {want}");
            })
        }) {
            assert_eq!(got.values, [0.0], "{}", got.name);
        }
    }
}
