//! Gradients of resizing against the transposed weights of the forward pass.

use proptest::prelude::*;
use var_kernel::ops::resize::{Dims, Resize};

use super::ResizeBackward;
use crate::grad::testing::{on_each_backend, on_each_cpu, random};

/// The gradients of both ways to resize, each added to `before`: resizing is linear, its matrix has
/// the resized unit vectors as columns, and the gradient is the transpose.
fn want(dout: &[f32], before: &[f32], d: Dims) -> [Vec<f64>; 2] {
    let (cells, one) = (d.batch * d.from * d.from, Dims { channels: 1, ..d });
    let mut want = [(); 2].map(|()| before.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
    for cell in 0..cells {
        let mut unit = vec![0.0; cells];
        unit[cell] = 1.0;
        let columns = [
            on_each_cpu(dout.len() / d.channels, |cpu, out| cpu.bicubic(out, &unit, one).unwrap()),
            on_each_cpu(dout.len() / d.channels, |cpu, out| cpu.area(out, &unit, one).unwrap()),
        ];
        for (want, column) in want.iter_mut().zip(columns) {
            for (i, weight) in column.iter().enumerate() {
                for c in 0..d.channels {
                    want[cell * d.channels + c] +=
                        f64::from(*weight) * f64::from(dout[i * d.channels + c]);
                }
            }
        }
    }
    want
}

fn check(d: Dims, seed: u64) {
    let dout = random(d.batch * d.to * d.to * d.channels, seed);
    let before = random(d.batch * d.from * d.from * d.channels, !seed);
    let [bicubic, area] = want(&dout, &before, d);
    for got in on_each_backend!([dx: before], [dout], [], |b| b.bicubic_backward(dx, dout, d)) {
        got.assert_close(&bicubic, 1e-5);
    }
    for got in on_each_backend!([dx: before], [dout], [], |b| b.area_backward(dx, dout, d)) {
        got.assert_close(&area, 1e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn gradient_is_the_transpose(
        batch in 0_usize..3, from in 1_usize..6, to in 1_usize..7, channels in 1_usize..20, seed: u64,
    ) {
        check(Dims { batch, from, to, channels }, seed);
    }
}

#[test]
fn gradients_between_the_maps_of_the_published_ladder() {
    for (from, to) in [(13, 16), (16, 13), (1, 16), (16, 16)] {
        check(Dims { batch: 1, from, to, channels: 32 }, 5);
    }
}
