//! Gradients of a convolution against finite differences.

use proptest::prelude::*;
use var_kernel::cpu::Matrix;
use var_kernel::ops::conv2d::{Dims, Grid};

use super::Conv2dBackward;
use crate::grad::testing::{assert_close, differences, on_each_cpu, random};

/// The forward pass, without bias.
fn naive(x: &[f64], weight: &[f64], d: Dims) -> Vec<f64> {
    let (height, width) = d.out_grid();
    let (side, doubled) = (d.kernel, i64::from(d.grid == Grid::Doubled));
    let (stride, padding) = match d.grid {
        Grid::Halved => (2, 0),
        Grid::Same | Grid::Doubled => (1, side as i64 / 2),
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

/// Both gradients, added to what was there before.
fn gradients(x: &[f32], weight: &[f32], dout: &[f32], d: Dims) -> [Vec<f32>; 2] {
    let before = random(x.len().max(weight.len()), 77);
    let dx = on_each_cpu(x.len(), |cpu, out| {
        out.copy_from_slice(&before[..out.len()]);
        let mut scratch = vec![f32::NAN; cpu.conv2d_backward_scratch(d)];
        let Ok(()) = cpu.conv2d_backward_x(out, dout, Matrix::F32(weight), &mut scratch, d);
    });
    let dweight = on_each_cpu(weight.len(), |cpu, out| {
        out.copy_from_slice(&before[..out.len()]);
        let mut scratch = vec![f32::NAN; cpu.conv2d_backward_scratch(d)];
        let Ok(()) = cpu.conv2d_backward_weight(out, dout, x, &mut scratch, d);
    });
    [dx, dweight]
}

fn check(d: Dims, seed: u64) {
    let x = random(d.batch * d.height * d.width * d.inner, seed);
    let weight = random(d.outer * d.inner * d.kernel * d.kernel, seed ^ 1);
    let dout = random(d.out_len(), seed ^ 2);
    let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    let before = random(x.len().max(weight.len()), 77);
    let [dx, dweight] = gradients(&x, &weight, &dout, d);
    let added = |differences: Vec<f64>| -> Vec<f64> {
        differences.iter().zip(&before).map(|(x, before)| x + f64::from(*before)).collect()
    };
    assert_close(&dx, &added(differences(&x, &dout, |x| naive(x, &wide(&weight), d))), 2e-5);
    let want = differences(&weight, &dout, |weight| naive(&wide(&x), weight, d));
    assert_close(&dweight, &added(want), 2e-5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn matches_finite_differences(
        batch in 0_usize..3, height in 1_usize..5, width in 1_usize..5,
        inner in 1_usize..6, outer in 1_usize..6, form in 0..4, seed: u64,
    ) {
        let d = Dims { batch, height, width, inner, outer, kernel: 3, grid: Grid::Same };
        check(match form {
            0 => d,
            1 => Dims { kernel: 1, ..d },
            2 => Dims { grid: Grid::Doubled, ..d },
            _ => Dims { grid: Grid::Halved, height: 2 * height, width: 2 * width, ..d },
        }, seed);
    }
}

/// Sizes at which the kernel computes otherwise than at small ones, and widths no vector divides:
/// the gradient of a linear function f of x is what makes ⟨dx, x⟩ = ⟨dout, f(x)⟩.
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
    ] {
        let d = Dims { batch: 2, height: side, width: side, inner, outer, kernel: 3, grid };
        let x = random(2 * side * side * inner, 1);
        let weight = random(outer * inner * 9, 2);
        let dout = random(d.out_len(), 3);
        let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let before = wide(&random(x.len().max(weight.len()), 77));
        let want = dot(&wide(&dout), &naive(&wide(&x), &wide(&weight), d));
        let [dx, dweight] = gradients(&x, &weight, &dout, d);
        for (gradient, of) in [(dx, x), (dweight, weight)] {
            let gradient: Vec<f64> =
                wide(&gradient).iter().zip(&before).map(|(after, before)| after - before).collect();
            let got = dot(&gradient, &wide(&of));
            let size = dot(&gradient, &gradient).sqrt() * dot(&wide(&of), &wide(&of)).sqrt();
            assert!((got - want).abs() <= 1e-6 * size, "{d:?}: {got} {want}");
        }
    }
}
