//! The gradient of the leaky rectifier against its formula.

use proptest::prelude::*;

use super::LeakyReluBackward;
use crate::grad::testing::{on_each_backend, random};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_was_negative_passes_a_part(length in 1_usize..600, slope in 0.0_f32..1.0, seed: u64) {
        let (mut x, dy) = (random(length, seed), random(length, !seed));
        x[0] = 0.0;
        let before = vec![1.0; length];
        let factor = |x: f32| if x > 0.0 { 1.0 } else { f64::from(slope) };
        let want = x.iter().zip(&dy).map(|(x, dy)| 1.0 + f64::from(*dy) * factor(*x));
        let want: Vec<f64> = want.collect();
        for got in on_each_backend!([dx: before], [x, dy], [], |b| {
            b.leaky_relu_backward(dx, dy, x, slope)
        }) {
            got.assert_close(&want, 1e-6);
        }
    }
}
