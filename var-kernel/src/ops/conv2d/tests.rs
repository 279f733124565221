//! conv2d against a naive oracle.

use std::vec;
use std::vec::Vec;

use half::{bf16, f16};
use proptest::prelude::*;

use super::{Conv2d, Dims, Grid};
use crate::cpu::Matrix;
use crate::ops::testing::{Lends, coarse, on_each_backend, on_each_cpu, random};

/// The input's number at a place of the output's grid, zero outside.
fn input(x: &[f32], d: Dims, picture: usize, y: i64, column: i64, i: usize) -> f64 {
    let doubled = u32::from(d.grid == Grid::Doubled);
    let (y, column) = (y >> doubled, column >> doubled);
    if y < 0 || y >= d.height as i64 || column < 0 || column >= d.width as i64 {
        return 0.0;
    }
    let cell = (picture * d.height + y as usize) * d.width + column as usize;
    f64::from(x[cell * d.inner + i])
}

fn oracle(x: &[f32], weight: &[f32], bias: &[f32], residual: Option<&[f32]>, d: Dims) -> Vec<f64> {
    let (height, width) = d.out_grid();
    let (stride, padding) = match d.grid {
        Grid::Halved => (2, 0),
        _ => (1, d.kernel as i64 / 2),
    };
    let mut out = Vec::with_capacity(d.out_len());
    for cell in 0..d.batch * height * width {
        let (picture, y, column) =
            (cell / width / height, (cell / width % height) as i64, (cell % width) as i64);
        for o in 0..d.outer {
            let mut sum = f64::from(bias[o]);
            for tap in 0..d.kernel * d.kernel {
                let (down, right) = ((tap / d.kernel) as i64, (tap % d.kernel) as i64);
                let (y, column) = (y * stride + down - padding, column * stride + right - padding);
                for i in 0..d.inner {
                    let weight = weight[(o * d.inner + i) * d.kernel * d.kernel + tap];
                    sum += input(x, d, picture, y, column, i) * f64::from(weight);
                }
            }
            out.push(sum + residual.map_or(0.0, |residual| f64::from(residual[out.len()])));
        }
    }
    out
}

fn convolve(
    x: &[f32],
    weight: Matrix<'_>,
    bias: &[f32],
    residual: Option<&[f32]>,
    d: Dims,
) -> Vec<f32> {
    on_each_cpu(d.out_len(), |cpu, out| {
        let mut scratch = vec![f32::NAN; cpu.conv2d_scratch(d)];
        cpu.conv2d(out, x, weight, bias, residual, &mut scratch, d).unwrap();
    })
}

/// Weights and inputs in −1 .. 1, with and without a residual; the tolerance is for a sum's spread.
fn compare(d: Dims) {
    let taps = d.kernel * d.kernel;
    let x = coarse(d.batch * d.height * d.width * d.inner, 1);
    let weight = coarse(d.outer * d.inner * taps, 2);
    let bias = random(d.outer, 3);
    let residual = random(d.out_len(), 4);
    let tolerance = 4e-6 * ((d.inner * taps) as f64).sqrt();
    for with_residual in [false, true] {
        let want = oracle(&x, &weight, &bias, with_residual.then_some(&residual[..]), d);
        for got in on_each_backend!(
            [out: d.out_len()],
            [x, bias, residual],
            [weight: [d.outer, d.inner, d.kernel, d.kernel]],
            |b| {
                let mut scratch = b.lend(b.conv2d_scratch(d));
                b.conv2d(out, x, weight, bias, with_residual.then_some(residual), &mut scratch, d)
            }
        ) {
            got.assert_as_close(&want, tolerance);
        }
    }
}

fn same(side: usize, inner: usize, outer: usize) -> Dims {
    Dims { batch: 1, height: side, width: side, inner, outer, kernel: 3, grid: Grid::Same }
}

#[test]
fn channels_of_the_published_network() {
    compare(same(12, 160, 160));
    compare(same(8, 3, 160));
    compare(same(8, 160, 3));
    compare(same(16, 160, 48));
    compare(Dims { height: 20, width: 13, ..same(1, 176, 16) });
    compare(Dims { batch: 3, height: 8, width: 70, ..same(1, 16, 80) });
    compare(Dims { height: 4, width: 300, ..same(1, 32, 16) });
    compare(Dims { batch: 2, grid: Grid::Doubled, height: 8, width: 9, ..same(1, 48, 32) });
    compare(Dims { kernel: 1, ..same(7, 320, 160) });
    compare(Dims { grid: Grid::Halved, ..same(8, 160, 32) });
    compare(Dims { grid: Grid::Doubled, ..same(8, 64, 32) });
}

#[test]
fn one_cell_sees_only_the_middle_of_the_kernel() {
    for (inner, outer) in [(1, 1), (3, 8), (16, 16), (40, 33)] {
        compare(same(1, inner, outer));
        compare(Dims { kernel: 1, ..same(1, inner, outer) });
        compare(Dims { grid: Grid::Doubled, ..same(1, inner, outer) });
    }
}

#[test]
fn stored_formats_are_widened() {
    let d = same(16, 32, 32);
    let (x, bias) = (random(16 * 16 * 32, 1), random(32, 3));
    let weight = random(32 * 32 * 9, 2);
    let halves: Vec<f16> = weight.iter().map(|w| f16::from_f32(*w)).collect();
    let brains: Vec<bf16> = weight.iter().map(|w| bf16::from_f32(*w)).collect();
    let values: Vec<i8> = weight.iter().map(|w| (w * 127.0) as i8).collect();
    let scales: Vec<f16> =
        (0..values.len() / 32).map(|i| f16::from_f32(0.01 + i as f32 * 1e-5)).collect();
    for matrix in [
        Matrix::F16(&halves),
        Matrix::Bf16(&brains),
        Matrix::Q8 { values: &values, scales: &scales },
    ] {
        let widened: Vec<f32> = (0..weight.len()).map(|i| matrix.at(i)).collect();
        let got = convolve(&x, matrix, &bias, None, d);
        assert_eq!(got, convolve(&x, Matrix::F32(&widened), &bias, None, d));
    }
}

/// A picture's output does not depend on its batch.
#[test]
fn a_batch_is_its_pictures() {
    for (height, inner, outer) in [(8, 32, 32), (9, 3, 5), (24, 48, 16)] {
        let one = Dims { height, width: 12, ..same(8, inner, outer) };
        let all = Dims { batch: 3, ..one };
        let x = random(3 * height * 12 * inner, 1);
        let (weight, bias) = (random(outer * inner * 9, 2), random(outer, 3));
        let whole = convolve(&x, Matrix::F32(&weight), &bias, None, all);
        for (x, whole) in x.chunks(x.len() / 3).zip(whole.chunks(whole.len() / 3)) {
            assert_eq!(convolve(x, Matrix::F32(&weight), &bias, None, one), whole);
        }
    }
}

#[test]
#[should_panic(expected = "scratch")]
fn too_little_scratch_is_refused() {
    let d = same(4, 16, 16);
    let (x, weight) = (random(256, 1), random(16 * 16 * 9, 2));
    on_each_cpu(256, |cpu, out| {
        cpu.conv2d(out, &x, Matrix::F32(&weight), &[0.0; 16], None, &mut [], d).unwrap();
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_sizes(
        batch in 0_usize..3,
        height in 1_usize..8,
        width in 1_usize..8,
        inner in prop::sample::select(&[1_usize, 3, 8, 16, 32, 40, 160][..]),
        outer in prop::sample::select(&[1_usize, 3, 8, 16, 32, 40][..]),
        form in 0..4,
    ) {
        let d = Dims { batch, height, width, ..same(1, inner, outer) };
        compare(match form {
            0 => d,
            1 => Dims { kernel: 1, ..d },
            2 => Dims { grid: Grid::Doubled, ..d },
            _ => Dims { grid: Grid::Halved, height: 2 * height, width: 2 * width, ..d },
        });
    }
}
