//! conv2d against a naive oracle.

use std::vec;
use std::vec::Vec;

use half::{bf16, f16};
use proptest::prelude::*;

use super::{Conv2d, ConvEpilogue, Dims, Grid};
use crate::cpu::Matrix;
use crate::ops::testing::{
    AllocBuffer, BackendOutput, coarse, on_each_backend, on_each_cpu, random,
};
use crate::ops::{Channels, Elementwise};

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

/// The outputs alone, `outer` for each cell.
fn oracle(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    epilogue: ConvEpilogue<'_, [f32]>,
    d: Dims,
) -> Vec<f64> {
    let [height, width] = d.out_grid();
    let (stride, border) = match d.grid {
        Grid::Halved => (2, [0, 0]),
        Grid::Strided { stride, padding } => (stride as i64, padding.map(|cells| cells as i64)),
        Grid::Same | Grid::Doubled => (1, d.kernel.map(|side| side as i64 / 2)),
    };
    let [rows, columns] = d.kernel;
    let mut out = Vec::with_capacity(d.out_cells() * d.outer);
    for cell in 0..d.batch * height * width {
        let (picture, y, column) =
            (cell / width / height, (cell / width % height) as i64, (cell % width) as i64);
        for o in 0..d.outer {
            let mut sum = f64::from(bias[o]);
            for tap in 0..rows * columns {
                let (down, right) = ((tap / columns) as i64, (tap % columns) as i64);
                let (y, column) =
                    (y * stride + down - border[0], column * stride + right - border[1]);
                for i in 0..d.inner {
                    let weight = weight[(o * d.inner + i) * rows * columns + tap];
                    sum += input(x, d, picture, y, column, i) * f64::from(weight);
                }
            }
            out.push(match epilogue {
                ConvEpilogue::None => sum,
                ConvEpilogue::Residual(residual) => sum + f64::from(residual[out.len()]),
                ConvEpilogue::Relu => sum.max(0.0),
            });
        }
    }
    out
}

fn convolve(
    x: &[f32],
    weight: Matrix<'_>,
    bias: &[f32],
    epilogue: ConvEpilogue<'_, [f32]>,
    d: Dims,
) -> Vec<f32> {
    on_each_cpu(d.out_len(), |cpu, out| {
        out.fill(7.0);
        let mut scratch = vec![f32::NAN; cpu.conv2d_scratch(d)];
        cpu.conv2d(out, x, weight, bias, epilogue, &mut scratch, d).unwrap();
    })
}

/// Input, weights, bias and residual in −1 .. 1.
fn operands(d: Dims) -> [Vec<f32>; 4] {
    let x = coarse(d.batch * d.height * d.width * d.inner, 1);
    let weight = coarse(d.outer * d.inner * d.taps(), 2);
    [x, weight, random(d.outer, 3), random(d.out_cells() * d.outer, 4)]
}

/// Fails unless the operation's own channels are close to the oracle's and the others stayed as they were.
fn check(got: &BackendOutput, want: &[f64], d: Dims) {
    // Partial sums grow with the root of their number, and so does the error of adding to them.
    let terms = (d.inner * d.taps()) as f64;
    let tolerance = (4e-6 * terms.sqrt()).max(1.5e-7 * terms);
    let Channels { first, of } = d.channels();
    let mut own = Vec::new();
    for cell in got.values.chunks_exact(of) {
        own.extend_from_slice(&cell[first..first + d.outer]);
        let others = cell[..first].iter().chain(&cell[first + d.outer..]);
        assert!(others.copied().all(|x| x == 7.0), "{}: another channel was written", got.name);
    }
    BackendOutput { values: own, ..got.part(0..0) }.assert_close(want, tolerance);
}

/// With each epilogue, on all backends.
fn compare(d: Dims) {
    let [x, weight, bias, residual] = operands(d);
    let before = vec![7.0; d.out_len()];
    for kind in 0..3 {
        let epilogues =
            [ConvEpilogue::None, ConvEpilogue::Residual(&residual[..]), ConvEpilogue::Relu];
        let want = oracle(&x, &weight, &bias, epilogues[kind], d);
        for got in on_each_backend!(
            [out: d.out_len()],
            [x, bias, residual, before],
            [weight: [d.outer, d.inner, d.kernel[0], d.kernel[1]]],
            |b| {
                let epilogue = [ConvEpilogue::None, ConvEpilogue::Residual(residual), ConvEpilogue::Relu][kind];
                let mut scratch = b.alloc(b.conv2d_scratch(d));
                b.copy(out, before)
                    .and_then(|()| b.conv2d(out, x, weight, bias, epilogue, &mut scratch, d))
            }
        ) {
            check(&got, &want, d);
        }
    }
}

/// The same on the CPU alone, for sizes that take too long on an emulated GPU.
fn compare_on_cpus(d: Dims) {
    let [x, weight, bias, _] = operands(d);
    for epilogue in [ConvEpilogue::None, ConvEpilogue::Relu] {
        let values = convolve(&x, Matrix::F32(&weight), &bias, epilogue, d);
        let got = BackendOutput { name: "cpu".into(), values, rounding: 0.0 };
        check(&got, &oracle(&x, &weight, &bias, epilogue, d), d);
    }
}

fn same(side: usize, inner: usize, outer: usize) -> Dims {
    let (batch, kernel, grid) = (1, [3; 2], Grid::Same);
    Dims { batch, height: side, width: side, inner, outer, kernel, grid, into: None }
}

fn strided(side: usize, inner: usize, outer: usize, kernel: [usize; 2]) -> Dims {
    let padding = kernel.map(|side| side / 2);
    Dims { kernel, grid: Grid::Strided { stride: 1, padding }, ..same(side, inner, outer) }
}

#[test]
fn same_halved_and_doubled_match_naive_on_the_vqvaes_layers() {
    compare(same(12, 160, 160));
    compare(same(8, 3, 160));
    compare(same(8, 160, 3));
    compare(same(16, 160, 48));
    compare(Dims { height: 20, width: 13, ..same(1, 176, 16) });
    compare(Dims { batch: 3, height: 8, width: 70, ..same(1, 16, 80) });
    compare(Dims { height: 4, width: 300, ..same(1, 32, 16) });
    compare(Dims { batch: 2, grid: Grid::Doubled, height: 8, width: 9, ..same(1, 48, 32) });
    compare(Dims { kernel: [1; 2], ..same(7, 320, 160) });
    compare(Dims { grid: Grid::Halved, ..same(8, 160, 32) });
    compare(Dims { grid: Grid::Doubled, ..same(8, 64, 32) });
}

#[test]
fn one_cell_meets_only_the_middle_of_the_kernel() {
    for (inner, outer) in [(1, 1), (3, 8), (16, 16), (40, 33)] {
        compare(same(1, inner, outer));
        compare(Dims { kernel: [1; 2], ..same(1, inner, outer) });
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
        let got = convolve(&x, matrix, &bias, ConvEpilogue::None, d);
        assert_eq!(got, convolve(&x, Matrix::F32(&widened), &bias, ConvEpilogue::None, d));
    }
}

/// An image's output does not depend on its batch.
#[test]
fn conv2d_of_a_batch_equals_its_images() {
    for (height, inner, outer) in [(8, 32, 32), (9, 3, 5), (24, 48, 16)] {
        let one = Dims { height, width: 12, ..same(8, inner, outer) };
        let all = Dims { batch: 3, ..one };
        let x = random(3 * height * 12 * inner, 1);
        let (weight, bias) = (random(outer * inner * 9, 2), random(outer, 3));
        let whole = convolve(&x, Matrix::F32(&weight), &bias, ConvEpilogue::None, all);
        for (x, whole) in x.chunks(x.len() / 3).zip(whole.chunks(whole.len() / 3)) {
            assert_eq!(convolve(x, Matrix::F32(&weight), &bias, ConvEpilogue::None, one), whole);
        }
    }
}

#[test]
#[should_panic(expected = "scratch")]
fn scratch_too_small_is_refused() {
    let d = same(4, 16, 16);
    let (x, weight) = (random(256, 1), random(16 * 16 * 9, 2));
    on_each_cpu(256, |cpu, out| {
        cpu.conv2d(out, &x, Matrix::F32(&weight), &[0.0; 16], ConvEpilogue::None, &mut [], d)
            .unwrap();
    });
}

#[test]
fn strided_matches_naive_on_inceptions_layers() {
    let valid = |d| Dims { grid: Grid::Strided { stride: 1, padding: [0, 0] }, ..d };
    let halving = |d| Dims { grid: Grid::Strided { stride: 2, padding: [0, 0] }, ..d };
    compare_on_cpus(Dims { batch: 2, ..halving(strided(29, 3, 32, [3, 3])) });
    compare_on_cpus(Dims { batch: 2, ..valid(strided(27, 32, 32, [3, 3])) });
    compare_on_cpus(Dims { batch: 3, ..strided(19, 32, 64, [3, 3]) });
    compare_on_cpus(strided(19, 64, 80, [1, 1]));
    compare_on_cpus(valid(strided(19, 80, 192, [3, 3])));
    compare_on_cpus(Dims {
        into: Some(Channels { first: 64, of: 256 }),
        ..strided(35, 48, 64, [5, 5])
    });
    compare_on_cpus(Dims {
        into: Some(Channels { first: 128, of: 256 }),
        batch: 2,
        ..strided(35, 64, 96, [3, 3])
    });
    compare_on_cpus(Dims {
        into: Some(Channels { first: 0, of: 768 }),
        ..halving(strided(35, 288, 384, [3, 3]))
    });
    compare_on_cpus(Dims { batch: 2, ..strided(17, 128, 128, [1, 7]) });
    compare_on_cpus(Dims {
        into: Some(Channels { first: 192, of: 768 }),
        ..strided(17, 160, 192, [7, 1])
    });
    compare_on_cpus(Dims {
        into: Some(Channels { first: 320, of: 2048 }),
        ..strided(8, 384, 384, [1, 3])
    });
    compare_on_cpus(Dims { batch: 5, ..strided(8, 448, 384, [3, 3]) });
}

#[test]
fn strided_matches_naive_past_the_edges_of_gpu_tiles() {
    let halving = |d| Dims { grid: Grid::Strided { stride: 2, padding: [0, 0] }, ..d };
    compare(Dims { batch: 2, ..halving(strided(15, 3, 32, [3, 3])) });
    compare(Dims { into: Some(Channels { first: 64, of: 200 }), ..strided(9, 48, 64, [5, 5]) });
    compare(Dims {
        into: Some(Channels { first: 3, of: 135 }),
        batch: 4,
        ..strided(9, 16, 130, [3, 3])
    });
    compare(Dims {
        into: Some(Channels { first: 0, of: 768 }),
        ..halving(strided(9, 64, 100, [3, 3]))
    });
    compare(Dims { batch: 6, ..strided(9, 32, 97, [1, 7]) });
    compare(Dims { into: Some(Channels { first: 5, of: 80 }), ..strided(17, 40, 33, [7, 1]) });
    compare(strided(12, 64, 80, [1, 1]));
}

#[test]
#[should_panic(expected = "a kernel of 5 on 4 cells")]
fn out_grid_refuses_a_kernel_larger_than_its_input() {
    let grid = Grid::Strided { stride: 1, padding: [0, 0] };
    let _ = Dims { grid, ..strided(4, 1, 1, [5, 1]) }.out_len();
}

#[test]
#[should_panic(expected = "channels 3..5 of 4")]
fn check_refuses_channels_past_the_end() {
    let d = Dims { into: Some(Channels { first: 3, of: 4 }), ..strided(2, 1, 2, [1, 1]) };
    d.check::<[f32]>(16, 4, 2, 2, ConvEpilogue::None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn same_halved_and_doubled_match_naive(
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
            1 => Dims { kernel: [1; 2], ..d },
            2 => Dims { grid: Grid::Doubled, ..d },
            _ => Dims { grid: Grid::Halved, height: 2 * height, width: 2 * width, ..d },
        });
    }

    #[test]
    fn strided_matches_naive(
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
            grid: Grid::Strided { stride, padding: [padding.0, padding.1] },
            into: Some(Channels { first, of: first + outer + after }),
        };
        compare(d);
        // The way that only kernels of 3 × 3 and stride 1 go.
        if height + 2 * padding.0 >= 3 && width + 2 * padding.1 >= 3 {
            let grid = Grid::Strided { stride: 1, padding: [padding.0, padding.1] };
            compare(Dims { kernel: [3, 3], grid, ..d });
        }
    }
}
