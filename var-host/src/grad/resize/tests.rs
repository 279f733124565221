//! Gradients of resizing against the transposed weights of the forward pass.

use proptest::prelude::*;
use var_kernel::cpu::Cpu;
use var_kernel::ops::resize::{Dims, Resize};

use super::ResizeBackward;
use crate::grad::testing::{assert_close, on_each_cpu, random};

type Forward = fn(&Cpu<'_>, &mut [f32], &[f32], Dims);
type Backward = fn(&Cpu<'_>, &mut [f32], &[f32], Dims);

/// Resizing is linear: what unit vectors become are the columns of its matrix, and the gradient is its
/// transpose.
fn check(d: Dims, seed: u64) {
    let bicubic: (Forward, Backward) = (
        |cpu, out, x, d| cpu.bicubic(out, x, d).unwrap(),
        |cpu, dx, dout, d| cpu.bicubic_backward(dx, dout, d).unwrap(),
    );
    let area: (Forward, Backward) = (
        |cpu, out, x, d| cpu.area(out, x, d).unwrap(),
        |cpu, dx, dout, d| cpu.area_backward(dx, dout, d).unwrap(),
    );
    let (cells, out) = (d.batch * d.from * d.from, d.batch * d.to * d.to * d.channels);
    let (dout, before) = (random(out, seed), random(cells * d.channels, !seed));
    for (forward, backward) in [bicubic, area] {
        let got = on_each_cpu(cells * d.channels, |cpu, dx| {
            dx.copy_from_slice(&before);
            backward(&cpu, dx, &dout, d);
        });
        let mut want: Vec<f64> = before.iter().map(|x| f64::from(*x)).collect();
        let one = Dims { channels: 1, ..d };
        for cell in 0..cells {
            let column = on_each_cpu(out / d.channels, |cpu, out| {
                let mut unit = vec![0.0; cells];
                unit[cell] = 1.0;
                forward(&cpu, out, &unit, one);
            });
            for (i, weight) in column.iter().enumerate() {
                for c in 0..d.channels {
                    want[cell * d.channels + c] +=
                        f64::from(*weight) * f64::from(dout[i * d.channels + c]);
                }
            }
        }
        assert_close(&got, &want, 1e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn is_the_transpose(
        batch in 0_usize..3, from in 1_usize..6, to in 1_usize..7, channels in 1_usize..20, seed: u64,
    ) {
        check(Dims { batch, from, to, channels }, seed);
    }
}

#[test]
fn between_the_maps_of_the_published_ladder() {
    for (from, to) in [(13, 16), (16, 13), (1, 16), (16, 16)] {
        check(Dims { batch: 1, from, to, channels: 32 }, 5);
    }
}
