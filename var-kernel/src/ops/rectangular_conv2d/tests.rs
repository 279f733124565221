//! rectangular_conv2d against a naive oracle.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Activation, Dims, RectangularConv2d};
use crate::cpu::Matrix;
use crate::ops::testing::{Got, Lends, coarse, on_each_backend, on_each_cpu, random};
use crate::ops::{Channels, Combine};

/// The outputs alone, `outer` a cell.
fn oracle(x: &[f32], weight: &[f32], bias: &[f32], activation: Activation, d: Dims) -> Vec<f64> {
    let ([height, width], [rows, columns]) = (d.out_grid(), d.kernel);
    let mut out = Vec::new();
    for cell in 0..d.batch * height * width {
        let (picture, y, column) = (cell / width / height, cell / width % height, cell % width);
        for o in 0..d.outer {
            let mut sum = f64::from(bias[o]);
            for (down, right) in (0..rows * columns).map(|tap| (tap / columns, tap % columns)) {
                let y = (y * d.stride + down).wrapping_sub(d.padding[0]);
                let column = (column * d.stride + right).wrapping_sub(d.padding[1]);
                if y >= d.height || column >= d.width {
                    continue;
                }
                for i in 0..d.inner {
                    let from = ((picture * d.height + y) * d.width + column) * d.inner + i;
                    let tap = ((o * d.inner + i) * rows + down) * columns + right;
                    sum += f64::from(x[from]) * f64::from(weight[tap]);
                }
            }
            out.push(if activation == Activation::Relu { sum.max(0.0) } else { sum });
        }
    }
    out
}

/// Weights and inputs in −1 .. 1.
fn operands(d: Dims) -> [Vec<f32>; 3] {
    let x = coarse(d.batch * d.height * d.width * d.inner, 1);
    let weight = coarse(d.outer * d.inner * d.kernel[0] * d.kernel[1], 2);
    [x, weight, random(d.outer, 3)]
}

/// Fails unless the operation's own channels are close to the oracle's and the others stayed as they were.
fn check(got: &Got, want: &[f64], d: Dims) {
    // Partial sums grow with the root of their number, and so does the error of adding to them.
    let terms = (d.inner * d.kernel[0] * d.kernel[1]) as f64;
    let tolerance = (4e-6 * terms.sqrt()).max(1.5e-7 * terms);
    let Channels { first, of } = d.into;
    let mut own = Vec::new();
    for cell in got.values.chunks_exact(of) {
        own.extend_from_slice(&cell[first..first + d.outer]);
        let others = cell[..first].iter().chain(&cell[first + d.outer..]);
        assert!(others.copied().all(|x| x == 7.0), "{}: another channel was written", got.name);
    }
    Got { values: own, ..got.part(0..0) }.assert_as_close(want, tolerance);
}

fn compare(d: Dims) {
    let [x, weight, bias] = operands(d);
    let before = vec![7.0; d.out_len()];
    for activation in [Activation::None, Activation::Relu] {
        let want = oracle(&x, &weight, &bias, activation, d);
        for got in on_each_backend!(
            [out: d.out_len()],
            [x, bias, before],
            [weight: [d.outer, d.inner, d.kernel[0], d.kernel[1]]],
            |b| {
                let mut scratch = b.lend(b.rectangular_conv2d_scratch(d));
                b.copy(out, before).and_then(|()| {
                    b.rectangular_conv2d(out, x, weight, bias, activation, &mut scratch, d)
                })
            }
        ) {
            check(&got, &want, d);
        }
    }
}

/// The same on the CPU alone, for sizes that take too long on an emulated card.
fn compare_on_cpus(d: Dims) {
    let [x, weight, bias] = operands(d);
    for activation in [Activation::None, Activation::Relu] {
        let values = on_each_cpu(d.out_len(), |cpu, out| {
            out.fill(7.0);
            let mut scratch = vec![f32::NAN; cpu.rectangular_conv2d_scratch(d)];
            let weight = Matrix::F32(&weight);
            cpu.rectangular_conv2d(out, &x, weight, &bias, activation, &mut scratch, d).unwrap();
        });
        let got = Got { name: "cpu".into(), values, rounding: 0.0 };
        check(&got, &oracle(&x, &weight, &bias, activation, d), d);
    }
}

fn of(side: usize, inner: usize, outer: usize, kernel: [usize; 2]) -> Dims {
    Dims {
        batch: 1,
        height: side,
        width: side,
        inner,
        outer,
        kernel,
        stride: 1,
        padding: [kernel[0] / 2, kernel[1] / 2],
        into: Channels::all(outer),
    }
}

#[test]
fn kinds_of_the_inception_network() {
    let valid = |d| Dims { padding: [0, 0], ..d };
    let halving = |d| Dims { padding: [0, 0], stride: 2, ..d };
    compare_on_cpus(Dims { batch: 2, ..halving(of(29, 3, 32, [3, 3])) });
    compare_on_cpus(Dims { batch: 2, ..valid(of(27, 32, 32, [3, 3])) });
    compare_on_cpus(Dims { batch: 3, ..of(19, 32, 64, [3, 3]) });
    compare_on_cpus(of(19, 64, 80, [1, 1]));
    compare_on_cpus(valid(of(19, 80, 192, [3, 3])));
    compare_on_cpus(Dims { into: Channels { first: 64, of: 256 }, ..of(35, 48, 64, [5, 5]) });
    compare_on_cpus(Dims {
        into: Channels { first: 128, of: 256 },
        batch: 2,
        ..of(35, 64, 96, [3, 3])
    });
    compare_on_cpus(Dims {
        into: Channels { first: 0, of: 768 },
        ..halving(of(35, 288, 384, [3, 3]))
    });
    compare_on_cpus(Dims { batch: 2, ..of(17, 128, 128, [1, 7]) });
    compare_on_cpus(Dims { into: Channels { first: 192, of: 768 }, ..of(17, 160, 192, [7, 1]) });
    compare_on_cpus(Dims { into: Channels { first: 320, of: 2048 }, ..of(8, 384, 384, [1, 3]) });
    compare_on_cpus(Dims { batch: 5, ..of(8, 448, 384, [3, 3]) });
}

/// Past the edges of every tile of a card.
#[test]
fn kinds_of_the_inception_network_on_smaller_pictures() {
    let halving = |d| Dims { padding: [0, 0], stride: 2, ..d };
    compare(Dims { batch: 2, ..halving(of(15, 3, 32, [3, 3])) });
    compare(Dims { into: Channels { first: 64, of: 200 }, ..of(9, 48, 64, [5, 5]) });
    compare(Dims { into: Channels { first: 3, of: 135 }, batch: 4, ..of(9, 16, 130, [3, 3]) });
    compare(Dims { into: Channels { first: 0, of: 768 }, ..halving(of(9, 64, 100, [3, 3])) });
    compare(Dims { batch: 6, ..of(9, 32, 97, [1, 7]) });
    compare(Dims { into: Channels { first: 5, of: 80 }, ..of(17, 40, 33, [7, 1]) });
    compare(of(12, 64, 80, [1, 1]));
}

/// A picture's output does not depend on its batch.
#[test]
fn a_batch_is_its_pictures() {
    for (side, inner, outer, kernel) in
        [(19, 32, 32, [3, 3]), (9, 5, 3, [1, 7]), (17, 16, 48, [3, 3])]
    {
        let one = of(side, inner, outer, kernel);
        let all = Dims { batch: 3, ..one };
        let x = random(3 * side * side * inner, 1);
        let (weight, bias) = (random(outer * inner * kernel[0] * kernel[1], 2), random(outer, 3));
        let run = |x: &[f32], d: Dims| {
            on_each_cpu(d.out_len(), |cpu, out| {
                let mut scratch = vec![f32::NAN; cpu.rectangular_conv2d_scratch(d)];
                let (weight, relu) = (Matrix::F32(&weight), Activation::Relu);
                cpu.rectangular_conv2d(out, x, weight, &bias, relu, &mut scratch, d).unwrap();
            })
        };
        let whole = run(&x, all);
        for (x, whole) in x.chunks(x.len() / 3).zip(whole.chunks(whole.len() / 3)) {
            assert_eq!(run(x, one), whole);
        }
    }
}

#[test]
#[should_panic(expected = "a kernel of 5 on 4 cells")]
fn a_kernel_larger_than_its_input_is_refused() {
    let _ = Dims { padding: [0, 0], ..of(4, 1, 1, [5, 1]) }.out_len();
}

#[test]
#[should_panic(expected = "channels 3..5 of 4")]
fn channels_past_the_end_are_refused() {
    let d = Dims { into: Channels { first: 3, of: 4 }, ..of(2, 1, 2, [1, 1]) };
    d.check(16, 4, 2, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_sizes(
        batch in 0_usize..3,
        (height, width) in (1_usize..24, 1_usize..24),
        inner in prop::sample::select(&[1_usize, 3, 16, 32, 40][..]),
        outer in prop::sample::select(&[1_usize, 3, 16, 32, 40][..]),
        kernel in (1_usize..8, 1_usize..8),
        stride in 1_usize..4,
        padding in (0_usize..4, 0_usize..4),
        (first, after) in (0_usize..9, 0_usize..9),
    ) {
        let d = Dims {
            batch,
            height,
            width,
            inner,
            outer,
            kernel: [kernel.0.min(height + 2 * padding.0), kernel.1.min(width + 2 * padding.1)],
            stride,
            padding: [padding.0, padding.1],
            into: Channels { first, of: first + outer + after },
        };
        compare(d);
        // The way that only kernels of 3 × 3 and stride 1 go.
        if height + 2 * padding.0 >= 3 && width + 2 * padding.1 >= 3 {
            compare(Dims { kernel: [3, 3], stride: 1, ..d });
        }
    }
}
