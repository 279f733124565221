//! leaky_relu against its formula.

use proptest::prelude::*;

use super::LeakyRelu;
use crate::ops::testing::{on_each_cpu, random};

proptest! {
    #[test]
    fn what_is_negative_is_scaled(length in 1_usize..100, slope in 0.0_f32..1.0) {
        let x = random(length, 1);
        let got = on_each_cpu(length, |cpu, out| {
            let Ok(()) = cpu.leaky_relu(out, &x, slope);
        });
        let want = x.iter().map(|x| if *x > 0.0 { *x } else { slope * x });
        prop_assert!(got.into_iter().eq(want));
    }
}

#[test]
fn no_slope_is_relu_and_nan_stays() {
    let x = [-2.0, -0.0, 0.0, 3.0, f32::INFINITY, f32::NAN];
    let got = on_each_cpu(x.len(), |cpu, out| {
        let Ok(()) = cpu.leaky_relu(out, &x, 0.0);
    });
    assert_eq!(got[..5], [0.0, 0.0, 0.0, 3.0, f32::INFINITY]);
    assert!(got[5].is_nan());
}
