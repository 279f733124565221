//! Products of integers against plain twins: bit for bit, in `f64`, and unquantized.

use std::vec;
use std::vec::Vec;

use half::f16;
use proptest::prelude::*;

use super::quantize::quantize;
use crate::cpu::matrix::Q8_BLOCK;
use crate::cpu::simd::{Simd, SimdKernel};
use crate::cpu::{Cpu, Inline, Isa, Matrix, SCRATCH_FLOATS};
use crate::ops::linear::{Dims, Epilogue, Linear};
use crate::ops::testing::{q8_block, q8_chains, random};

/// Every way there is on this machine to multiply integers.
fn ways() -> impl Iterator<Item = Isa> {
    Isa::all().flat_map(|isa| [isa, isa.without_dot_products()])
}

/// Operands of a product.
struct Operands {
    x: Vec<f32>,
    values: Vec<i8>,
    scales: Vec<f16>,
    d: Dims,
}

impl Operands {
    /// Integers of the whole range, scales of all sizes and signs.
    fn random(rows: usize, blocks: usize, outer: usize, seed: u64) -> Self {
        let d = Dims { rows, inner: blocks * Q8_BLOCK, outer };
        let sized = |(x, size): (&f32, &f32)| x * (15.0 * size).exp2();
        let numbers = |length, seed: u64| {
            let (x, size) = (random(length, seed), random(length / Q8_BLOCK, seed ^ 5));
            let size = size.iter().flat_map(|size| [size; Q8_BLOCK]);
            x.iter().zip(size).map(sized).collect::<Vec<_>>()
        };
        let integers = random(outer * d.inner, seed ^ 1);
        let scales = random(outer * blocks, seed ^ 2).into_iter();
        let sizes = random(outer * blocks, seed ^ 3);
        Self {
            x: numbers(rows * d.inner, seed),
            values: integers.iter().map(|w| (w * 128.5).floor() as i8).collect(),
            scales: scales.zip(&sizes).map(|(x, size)| f16::from_f32(sized((&x, size)))).collect(),
            d,
        }
    }

    /// The product, by one way.
    fn product(&self, isa: Isa) -> Vec<f32> {
        let mut scratch = vec![f32::NAN; SCRATCH_FLOATS];
        let workers = Inline::new(&mut scratch);
        let mut out = vec![f32::NAN; self.d.rows * self.d.outer];
        let weight = Matrix::Q8 { values: &self.values, scales: &self.scales };
        let cpu = Cpu::new(isa, &workers);
        let Ok(()) = cpu.linear(&mut out, &self.x, weight, None, Epilogue::None, self.d);
        out
    }

    /// The product, which must be the plain twin's on each machine, bit for bit; NaN is NaN.
    #[track_caller]
    fn checked(&self) -> Vec<f32> {
        let bits = |v: &[f32]| {
            v.iter().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect::<Vec<_>>()
        };
        let want = q8_chains(&self.x, &self.values, &self.scales, self.d.inner);
        for isa in ways() {
            assert!(bits(&self.product(isa)) == bits(&want), "{isa:?}: {:?}", self.d);
        }
        want
    }

    /// `f(block of x, integers of its column, their scale)` summed over the blocks of each element.
    fn sums(&self, f: impl Fn(&[f32], &[i8], f64) -> f64) -> Vec<f64> {
        let inner = self.d.inner;
        let mut out = Vec::new();
        for x in self.x.chunks(inner) {
            for (values, scales) in
                self.values.chunks(inner).zip(self.scales.chunks(inner / Q8_BLOCK))
            {
                let weights = values.chunks(Q8_BLOCK).zip(scales);
                let blocks = x.chunks(Q8_BLOCK).zip(weights);
                out.push(blocks.map(|(x, (w, scale))| f(x, w, scale.to_f64())).sum());
            }
        }
        out
    }
}

/// A block's integer sum and the product of its scales.
fn dot(x: &[f32], w: &[i8]) -> (i64, f64) {
    let (scale, q) = q8_block(x);
    (q.iter().zip(w).map(|(q, w)| i64::from(*q) * i64::from(*w)).sum(), f64::from(scale))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products_of_integers_are_their_plain_twins(
        rows in 1_usize..40,
        blocks in 1_usize..12,
        outer in 1_usize..80,
        seed: u64,
    ) {
        let operands = Operands::random(rows, blocks, outer, seed);
        let got = operands.checked();
        let want = operands.sums(|x, w, scale| {
            let (dot, scale_x) = dot(x, w);
            dot as f64 * scale_x * scale
        });
        // A product of scales and a sum are rounded for each block.
        let sizes = operands.sums(|x, w, scale| {
            let (dot, scale_x) = dot(x, w);
            (dot as f64 * scale_x * scale).abs()
        });
        for i in 0..want.len() {
            let tolerance = sizes[i] * (blocks + 1) as f64 * f64::from(f32::EPSILON) + 1e-38;
            prop_assert!((f64::from(got[i]) - want[i]).abs() <= tolerance);
        }
        // Half a step of each activation, and the half step's own rounding.
        let exact = operands.sums(|x, w, scale| {
            x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w) * scale).sum()
        });
        let steps = operands.sums(|x, w, scale| {
            let step = f64::from(q8_block(x).0);
            w.iter().map(|w| f64::from(w.unsigned_abs()) * scale.abs() * step).sum()
        });
        for i in 0..exact.len() {
            let tolerance = 0.5001 * steps[i] + sizes[i] * (blocks + 1) as f64 * 1.2e-7 + 1e-38;
            prop_assert!((f64::from(got[i]) - exact[i]).abs() <= tolerance);
        }
    }
}

/// Several stretches of k, several tiles of rows and columns, none of them whole.
#[test]
fn every_tile_and_stretch_gives_the_twins_bits() {
    for (rows, blocks, outer) in [(1, 1, 1), (691, 3, 40), (14, 70, 85), (3, 33, 200), (29, 64, 17)]
    {
        Operands::random(rows, blocks, outer, 9).checked();
    }
}

/// The largest sums of either sign, in each lane.
#[test]
fn the_largest_integers_do_not_overflow() {
    for (w, x) in [(-128, 1.0), (-128, -1.0), (127, 1.0), (127, -1.0)] {
        let mut operands = Operands::random(7, 5, 37, 1);
        operands.values.fill(w);
        operands.x.fill(x * 127.0);
        operands.scales.fill(f16::ONE);
        let want = 5.0 * 32.0 * 127.0 * x * f32::from(w);
        assert!(operands.checked().iter().all(|y| *y == want));
    }
}

#[test]
fn blocks_of_zeros_and_of_the_smallest_numbers_have_defined_sums() {
    let mut operands = Operands::random(8, 4, 19, 2);
    let tiny = f32::from_bits(1);
    for (i, x) in operands.x.iter_mut().enumerate() {
        *x = match i / Q8_BLOCK % 8 {
            0 => 0.0,
            1 => -0.0,
            // Too small for a scale; the smallest scale, which integers of 7 bits do not span.
            2 => (i % 64) as f32 * tiny,
            3 => (i % 190) as f32 * tiny,
            4 => -((i % 191) as f32) * tiny,
            5 => f32::MIN_POSITIVE * (i % 3) as f32,
            6 => {
                if i % 2 == 0 {
                    f32::MAX
                } else {
                    f32::MIN
                }
            }
            _ => *x,
        };
    }
    operands.scales.iter_mut().step_by(3).for_each(|scale| *scale = f16::from_bits(1));
    operands.scales.iter_mut().step_by(7).for_each(|scale| *scale = f16::ZERO);
    operands.checked();
    operands.x.fill(0.0);
    assert!(operands.checked().iter().all(|y| y.to_bits() == 0));
}

#[test]
fn numbers_that_are_not_finite_are_not_finite_in_all_of_their_row_alone() {
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 31, 32, 95] {
            let mut operands = Operands::random(5, 3, 21, 3);
            operands.values[..96].fill(0);
            operands.x[2 * 96 + at] = bad;
            for (i, y) in operands.checked().iter().enumerate() {
                assert_eq!(y.is_nan(), i / 21 == 2, "{bad} at {at}: {y} at {i}");
            }
        }
    }
}

/// [`quantize`] of one block.
struct Block<'a>(&'a [f32; Q8_BLOCK]);

impl SimdKernel for Block<'_> {
    type Output = (f32, [i8; Q8_BLOCK], f32);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        quantize(s, self.0)
    }
}

proptest! {
    #[test]
    fn quantization_is_its_formula(seed: u64, exponent in -149.0_f32..128.0, coarse: bool) {
        let mut x = [0.0; Q8_BLOCK];
        for (x, random) in x.iter_mut().zip(random(Q8_BLOCK, seed)) {
            // Halves between two integers too.
            let value = if coarse { (random * 254.0).round() / 254.0 } else { random };
            *x = (value * exponent.exp2()).clamp(f32::MIN, f32::MAX);
        }
        let (scale, want) = q8_block(&x);
        for isa in Isa::all() {
            let (got_scale, got, sum) = isa.run(Block(&x));
            prop_assert_eq!(got_scale.to_bits(), scale.to_bits());
            prop_assert_eq!(got.map(i32::from).to_vec(), want.clone());
            prop_assert_eq!(sum, want.iter().sum::<i32>() as f32);
        }
    }
}
