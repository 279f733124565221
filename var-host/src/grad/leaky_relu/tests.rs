//! The gradient of the leaky rectifier against its formula.

use proptest::prelude::*;

use super::LeakyReluBackward;
use crate::grad::testing::{assert_close, on_each_cpu, random};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_was_negative_passes_a_part(length in 1_usize..70, slope in 0.0_f32..1.0, seed: u64) {
        let (mut x, dy) = (random(length, seed), random(length, !seed));
        x[0] = 0.0;
        let got = on_each_cpu(length, |cpu, dx| {
            dx.fill(1.0);
            let Ok(()) = cpu.leaky_relu_backward(dx, &dy, &x, slope);
        });
        let factor = |x: f32| if x > 0.0 { 1.0 } else { f64::from(slope) };
        let want = x.iter().zip(&dy).map(|(x, dy)| 1.0 + f64::from(*dy) * factor(*x));
        assert_close(&got, &want.collect::<Vec<_>>(), 1e-6);
    }
}
