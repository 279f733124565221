//! nearest_code on the CPU: a block of features a task, sixteen codes a vector.

use core::convert::Infallible;

use super::{Dims, Distance, NearestCode};
use crate::cpu::Cpu;
use crate::cpu::matmul::{RowMajor, pack_b_transposed};
use crate::cpu::simd::{LANES, Simd, SimdKernel};

/// Features of a task: enough that packing a panel of codes is lost beside the products with it.
const BLOCK: usize = 64;

/// Features multiplied by a panel of codes at a time, sums in registers.
const TILE: usize = 8;

/// The least length that a vector is divided by to make it unit length.
const SHORTEST: f32 = 1e-12;

impl NearestCode for Cpu<'_> {
    fn nearest_code(
        &self,
        tokens: &mut [u32],
        x: &[f32],
        codebook: &[f32],
        distance: Distance,
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(tokens.len(), x.len(), codebook.len());
        self.begin(
            "nearest_code",
            d.multiply_adds(),
            4 * (tokens.len() + x.len() + codebook.len()),
        );
        self.scratch_len("nearest_code", scratch_len(d));
        let isa = self.isa;
        self.for_each_run(tokens, BLOCK, |number, tokens, scratch| {
            let x = &x[number * BLOCK * d.width..][..tokens.len() * d.width];
            isa.run(Search { tokens, x, codebook, distance, d, scratch });
        });
        Ok(())
    }
}

/// Floats of scratch memory that a thread wants: a block of features, a panel of codes.
pub(crate) fn scratch_len(d: Dims) -> usize {
    (BLOCK + LANES) * d.width
}

/// The closest codes to one block of features.
struct Search<'a> {
    tokens: &'a mut [u32],
    x: &'a [f32],
    codebook: &'a [f32],
    distance: Distance,
    d: Dims,
    scratch: &'a mut [f32],
}

impl SimdKernel for Search<'_> {
    type Output = ();

    /// Every lane keeps the first of its own closest codes; the lanes are compared at the end.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { tokens, x, codebook, distance, d, scratch } = self;
        let mut norms = [0.0; BLOCK];
        let mut best = [[f32::INFINITY; LANES]; BLOCK];
        let mut found = [[0.0; LANES]; BLOCK];

        let (features, rest) = scratch.split_at_mut(BLOCK * d.width);
        for row in 0..BLOCK {
            let to = &mut features[row * d.width..][..d.width];
            if row < tokens.len() {
                to.copy_from_slice(&x[row * d.width..][..d.width]);
                norms[row] = square_and_scale(to, distance);
            } else {
                to.fill(0.0);
            }
        }

        let (panel, _) = rest.as_chunks_mut::<LANES>();
        let panel = &mut panel[..d.width];
        let codes = RowMajor { values: codebook, stride: d.width };
        for (number, first) in (0..d.codes).step_by(LANES).enumerate() {
            let last = d.codes.min(first + LANES);
            pack_b_transposed(s, panel.as_flattened_mut(), &codes, first..last, 0..d.width);
            let code_norms = square_and_scale_panel(s, panel, distance, last - first);
            let number = s.splat(number as f32);
            for first_row in (0..tokens.len()).step_by(TILE) {
                let products = tile(s, &features[first_row * d.width..], panel);
                for i in 0..TILE {
                    let row = first_row + i;
                    let norm = s.add(s.splat(norms[row]), code_norms);
                    let value = s.mul_add(products[i], s.splat(factor(distance)), norm);
                    let so_far = s.load(&best[row]);
                    let kept = s.where_less(value, so_far, number, s.load(&found[row]));
                    s.store(kept, &mut found[row]);
                    s.store(s.where_less(value, so_far, value, so_far), &mut best[row]);
                }
            }
        }
        for (row, token) in tokens.iter_mut().enumerate() {
            *token = first_of_closest(&best[row], &found[row]);
        }
    }
}

/// Factor of the dot product in a distance.
#[inline(always)]
fn factor(distance: Distance) -> f32 {
    match distance {
        Distance::Euclidean => -2.0,
        Distance::Angle => -1.0,
    }
}

/// A feature's part of its distances; for an angle it is made unit length instead.
#[inline(always)]
fn square_and_scale(feature: &mut [f32], distance: Distance) -> f32 {
    let square = feature.iter().fold(0.0, |sum: f32, x| sum + x * x);
    match distance {
        Distance::Euclidean => square,
        Distance::Angle => {
            let length = libm::sqrtf(square).max(SHORTEST);
            feature.iter_mut().for_each(|x| *x /= length);
            0.0
        }
    }
}

/// The same of sixteen codes; lanes from `count` on are infinitely far away.
#[inline(always)]
fn square_and_scale_panel<S: Simd>(
    s: S,
    panel: &mut [[f32; LANES]],
    distance: Distance,
    count: usize,
) -> S::F32 {
    let mut square = s.splat(0.0);
    for codes in panel.iter() {
        let codes = s.load(codes);
        square = s.add(square, s.mul(codes, codes));
    }
    if distance == Distance::Angle {
        let length = s.max(s.sqrt(square), s.splat(SHORTEST));
        for codes in panel.iter_mut() {
            s.store(s.div(s.load(codes), length), codes);
        }
        square = s.splat(0.0);
    }
    let mut lanes = [0.0; LANES];
    s.store(square, &mut lanes);
    lanes[count..].fill(f32::INFINITY);
    s.load(&lanes)
}

/// The dot products of [`TILE`] features with sixteen codes, each one chain.
#[inline(always)]
fn tile<S: Simd>(s: S, features: &[f32], panel: &[[f32; LANES]]) -> [S::F32; TILE] {
    let width = panel.len();
    let features = &features[..TILE * width];
    let mut sums = [s.splat(0.0); TILE];
    for (k, codes) in panel.iter().enumerate() {
        let codes = s.load(codes);
        for i in 0..TILE {
            sums[i] = s.mul_add(codes, s.splat(features[i * width + k]), sums[i]);
        }
    }
    sums
}

/// The code of the least distance: the lowest of those at that distance.
fn first_of_closest(best: &[f32; LANES], found: &[f32; LANES]) -> u32 {
    let mut closest = (f32::INFINITY, 0);
    for lane in 0..LANES {
        let code = found[lane] as u32 * LANES as u32 + lane as u32;
        if best[lane] < closest.0 || (best[lane] == closest.0 && code < closest.1) {
            closest = (best[lane], code);
        }
    }
    closest.1
}
