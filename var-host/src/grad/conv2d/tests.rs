//! Gradients of a convolution against finite differences.

use proptest::prelude::*;
use var_kernel::ops::conv2d::{Dims, Grid};

use super::Conv2dBackward;
use crate::grad::testing::{AllocBuffer, BackendOutput, differences, on_each_backend, random};

/// The forward pass, without bias.
fn naive(x: &[f64], weight: &[f64], d: Dims) -> Vec<f64> {
    let [height, width] = d.out_grid();
    let (side, doubled) = (d.kernel[0], i64::from(d.grid == Grid::Doubled));
    let (stride, padding) = match d.grid {
        Grid::Halved => (2, 0),
        _ => (1, side as i64 / 2),
    };
    let input = |picture: usize, y: i64, x_: i64, i: usize| {
        let (y, x_) = (y >> doubled, x_ >> doubled);
        let inside = (0..d.height as i64).contains(&y) && (0..d.width as i64).contains(&x_);
        let cell = (picture as i64 * d.height as i64 + y) * d.width as i64 + x_;
        if inside { x[cell as usize * d.inner + i] } else { 0.0 }
    };
    let mut out = Vec::with_capacity(d.out_len());
    for cell in 0..d.batch * height * width {
        let (picture, y, x_) = (cell / width / height, cell / width % height, cell % width);
        for o in 0..d.outer {
            let mut sum = 0.0;
            for i in 0..d.inner {
                for tap in 0..side * side {
                    let y = y as i64 * stride + (tap / side) as i64 - padding;
                    let x_ = x_ as i64 * stride + (tap % side) as i64 - padding;
                    let weight = weight[(o * d.inner + i) * side * side + tap];
                    sum += input(picture, y, x_, i) * weight;
                }
            }
            out.push(sum);
        }
    }
    out
}

/// Both gradients, accumulated by every backend.
fn gradients(x: &[f32], weight: &[f32], dout: &[f32], d: Dims) -> [Vec<BackendOutput>; 2] {
    let before = random(x.len().max(weight.len()), 77);
    let (dx_before, dweight_before) = (&before[..x.len()], &before[..weight.len()]);
    let dx = on_each_backend!(
        [dx: dx_before], [dout], [weight: [d.outer, d.inner, d.kernel[0], d.kernel[1]]], |b| {
            let mut scratch = b.alloc(b.conv2d_backward_scratch(d));
            b.conv2d_backward_x(dx, dout, weight, &mut scratch, d)
        }
    );
    let dweight = on_each_backend!([dweight: dweight_before], [dout, x], [], |b| {
        let mut scratch = b.alloc(b.conv2d_backward_scratch(d));
        b.conv2d_backward_weight(dweight, dout, x, &mut scratch, d)
    });
    [dx, dweight]
}

/// Weights in the order in which a backend has them: a GPU has a tap's inner channels side by side.
fn as_stored(weight: &[f64], name: &str, d: Dims) -> Vec<f64> {
    if name == "cpu" {
        return weight.to_vec();
    }
    let taps = d.taps();
    (0..weight.len())
        .map(|place| {
            let (o, tap, i) = (place / d.inner / taps, place / d.inner % taps, place % d.inner);
            weight[(o * d.inner + i) * taps + tap]
        })
        .collect()
}

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|x| f64::from(*x)).collect()
}

fn check(d: Dims, seed: u64) {
    let x = random(d.batch * d.height * d.width * d.inner, seed);
    let weight = random(d.outer * d.inner * d.taps(), seed ^ 1);
    let dout = random(d.out_len(), seed ^ 2);
    let before = random(x.len().max(weight.len()), 77);
    let added = |differences: &[f64]| -> Vec<f64> {
        differences.iter().zip(&before).map(|(x, before)| x + f64::from(*before)).collect()
    };
    let [dx, dweight] = gradients(&x, &weight, &dout, d);
    let want = added(&differences(&x, &dout, |x| naive(x, &wide(&weight), d)));
    dx.iter().for_each(|got| got.assert_close(&want, 2e-5));
    let want = differences(&weight, &dout, |weight| naive(&wide(&x), weight, d));
    for got in dweight {
        got.assert_close(&added(&as_stored(&want, &got.name, d)), 2e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn matches_finite_differences(
        batch in 0_usize..3, height in 1_usize..5, width in 1_usize..5,
        inner in 1_usize..6, outer in 1_usize..6, form in 0..4, seed: u64,
    ) {
        let (kernel, grid, into) = ([3; 2], Grid::Same, None);
        let d = Dims { batch, height, width, inner, outer, kernel, grid, into };
        check(match form {
            0 => d,
            1 => Dims { kernel: [1; 2], ..d },
            2 => Dims { grid: Grid::Doubled, ..d },
            _ => Dims { grid: Grid::Halved, height: 2 * height, width: 2 * width, ..d },
        }, seed);
    }
}

/// Sizes above the thresholds of the kernel's variants, and widths no vector divides: the gradient of
/// a function f linear in x satisfies ⟨dx, x⟩ = ⟨dout, f(x)⟩.
#[test]
fn larger_pictures_keep_the_inner_product() {
    for (side, inner, outer, grid) in [
        (16, 32, 16, Grid::Same),
        (20, 19, 33, Grid::Same),
        (16, 32, 48, Grid::Doubled),
        (32, 16, 32, Grid::Halved),
        (18, 3, 20, Grid::Halved),
        (6, 170, 100, Grid::Same),
        (70, 5, 1, Grid::Same),
        (16, 40, 8, Grid::Same),
        // Tiles of tensor cores, wide ones and their edges.
        (8, 24, 104, Grid::Same),
        (6, 176, 40, Grid::Doubled),
        (12, 72, 200, Grid::Halved),
    ] {
        let (batch, height, width, kernel, into) = (2, side, side, [3; 2], None);
        let d = Dims { batch, height, width, inner, outer, kernel, grid, into };
        let x = random(2 * side * side * inner, 1);
        let weight = random(outer * inner * 9, 2);
        let dout = random(d.out_len(), 3);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let before = wide(&random(x.len().max(weight.len()), 77));
        let want = dot(&wide(&dout), &naive(&wide(&x), &wide(&weight), d));
        let [dx, dweight] = gradients(&x, &weight, &dout, d);
        let dx_before = dx.iter().map(|got| (got, wide(&x)));
        let dweight_before =
            dweight.iter().map(|got| (got, as_stored(&wide(&weight), &got.name, d)));
        for (BackendOutput { name, values, rounding }, of) in dx_before.chain(dweight_before) {
            let gradient: Vec<f64> = values
                .iter()
                .zip(&before)
                .map(|(after, before)| f64::from(*after) - before)
                .collect();
            let got = dot(&gradient, &of);
            let size = dot(&gradient, &gradient).sqrt() * dot(&of, &of).sqrt();
            let allowed = (1e-6 + rounding) * size;
            assert!((got - want).abs() <= allowed, "{name}, {d:?}: {got} {want}");
        }
    }
}

/// Half precision alone would lose such gradients.
#[test]
fn small_gradients_are_not_lost() {
    for grid in [Grid::Same, Grid::Doubled, Grid::Halved] {
        let (inner, outer, kernel, into) = (8, 8, [3; 2], None);
        let d = Dims { batch: 1, height: 4, width: 4, inner, outer, kernel, grid, into };
        let x = random(4 * 4 * inner, 1);
        let weight = random(outer * inner * 9, 2);
        let dout = random(d.out_len(), 3);
        let zeros = vec![0.0; x.len().max(weight.len())];
        let (dx_before, dweight_before) = (&zeros[..x.len()], &zeros[..weight.len()]);
        let want_x = differences(&x, &dout, |x| naive(x, &wide(&weight), d));
        let want_weight = differences(&weight, &dout, |weight| naive(&wide(&x), weight, d));
        for factor in [1e-12, 1e-30] {
            let small: Vec<f32> = dout.iter().map(|x| x * factor).collect();
            let large = |got: &BackendOutput| {
                let values = got.values.iter().map(|x| x / factor).collect();
                BackendOutput { values, ..got.part(0..0) }
            };
            for got in on_each_backend!(
                [dx: dx_before], [small], [weight: [outer, inner, 3, 3]], |b| {
                    let mut scratch = b.alloc(b.conv2d_backward_scratch(d));
                    b.conv2d_backward_x(dx, small, weight, &mut scratch, d)
                }
            ) {
                large(&got).assert_close(&want_x, 2e-5);
            }
            for got in on_each_backend!([dweight: dweight_before], [small, x], [], |b| {
                let mut scratch = b.alloc(b.conv2d_backward_scratch(d));
                b.conv2d_backward_weight(dweight, small, x, &mut scratch, d)
            }) {
                large(&got).assert_close(&as_stored(&want_weight, &got.name, d), 2e-5);
            }
        }
    }
}

/// A normalization's output on a GPU has 16 bits already: the same bytes as of the widened values.
#[cfg(feature = "cuda")]
#[test]
fn inputs_that_are_short_are_taken_as_they_are() {
    use var_kernel::ops::GroupNorm;
    use var_kernel::ops::group_norm::{self, Activation};

    let (inner, outer) = (16, 24);
    let (kernel, grid, into) = ([3; 2], Grid::Same, None);
    let d = Dims { batch: 1, height: 6, width: 5, inner, outer, kernel, grid, into };
    let (x, dout) = (random(30 * inner, 1), random(30 * outer, 2));
    let norm = group_norm::Dims { batch: 1, positions: 30, channels: inner, groups: 4 };
    for gpu in var_testing::cuda::gpus().iter() {
        let (cuda, x, dout) = (&gpu.cuda, gpu.put(&x), gpu.put(&dout));
        let parameters = [3, 4].map(|seed| gpu.put(&random(inner, seed)));
        let [weight, bias] = &parameters;
        let mut normal = gpu.nans(30 * inner);
        cuda.group_norm(&mut normal, &x, weight, bias, 1e-6, Activation::Silu, norm).unwrap();
        let widened = gpu.put(&gpu.read(&normal));
        let [half, wide] = [normal, widened].map(|x| {
            let mut dweight = gpu.put(&vec![1.0; outer * inner * 9]);
            let mut nothing = cuda.alloc(0);
            cuda.conv2d_backward_weight(&mut dweight, &dout, &x, &mut nothing, d).unwrap();
            gpu.read(&dweight)
        });
        assert_eq!(half, wide, "{}", gpu.name);
    }
}
