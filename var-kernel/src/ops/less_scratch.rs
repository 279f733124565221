//! Each operation with less scratch memory than recommended, down to the least: the same bytes.

use std::vec;
use std::vec::Vec;

use half::f16;
use proptest::prelude::*;

use super::attention::{self, Attention, Mask};
use super::conv2d::{self, Conv2d, ConvEpilogue, Grid};
use super::group_norm::{self, Activation, GroupNorm};
use super::linear::{self, Epilogue, Linear};
use super::nearest_code::{self, Distance, NearestCode};
use super::testing::random;
use crate::cpu::matrix::Q8_BLOCK;
use crate::cpu::{Cpu, Inline, Isa, Matrix, SCRATCH_FLOATS};

/// Fails unless `op` gives the same bits with the least scratch memory, with about `share` of what is
/// recommended, and with all of that, on the instruction sets with the smallest and the largest tiles.
#[track_caller]
fn check(least: usize, share: f64, length: usize, op: impl Fn(&Cpu<'_>, &mut [f32])) {
    let of = |isa, floats| {
        let mut scratch = vec![f32::NAN; floats];
        let inline = Inline::new(&mut scratch);
        let mut out = vec![f32::NAN; length];
        op(&Cpu::new(isa, &inline), &mut out);
        out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    assert!(least <= SCRATCH_FLOATS, "{least} floats wanted");
    let want = of(Isa::best(), SCRATCH_FLOATS);
    let some = least + (share * (SCRATCH_FLOATS - least) as f64) as usize;
    for isa in [Isa::portable(), Isa::best()] {
        for floats in [least, least + 1, some] {
            assert!(of(isa, floats) == want, "{isa:?}: other bytes with {floats} floats");
        }
    }
}

/// From nothing to all, mostly little.
fn share() -> impl Strategy<Value = f64> {
    (0.0..1.0_f64).prop_map(|x| x.powi(6))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn linear(
        rows in 1_usize..150,
        inner in 1_usize..300,
        outer in 1_usize..90,
        share in share(),
        seed: u64,
    ) {
        let d = linear::Dims { rows, inner, outer };
        let (x, weight) = (random(rows * inner, seed), random(outer * inner, !seed));
        check(linear::cpu::scratch_len(d), share, rows * outer, |cpu, out| {
            let Ok(()) = cpu.linear(out, &x, Matrix::F32(&weight), None, Epilogue::None, d);
        });
    }

    #[test]
    fn linear_q8(
        rows in 1_usize..150,
        blocks in 1_usize..50,
        outer in 1_usize..90,
        share in share(),
        seed: u64,
    ) {
        let d = linear::Dims { rows, inner: blocks * Q8_BLOCK, outer };
        let x = random(rows * d.inner, seed);
        let values: Vec<i8> = random(outer * d.inner, !seed).iter().map(|w| (w * 128.0) as i8).collect();
        let scales: Vec<f16> = random(outer * blocks, 1).iter().map(|w| f16::from_f32(*w)).collect();
        let weight = Matrix::Q8 { values: &values, scales: &scales };
        check(linear::cpu::scratch_len(d), share, rows * outer, |cpu, out| {
            let Ok(()) = cpu.linear(out, &x, weight, None, Epilogue::None, d);
        });
    }

    #[test]
    fn attention(
        heads in 1_usize..3,
        head_width in 1_usize..70,
        queries in 1_usize..60,
        keys in 1_usize..600,
        share in share(),
        seed: u64,
    ) {
        let d = attention::Dims { batch: 2, heads, head_width, queries, keys, capacity: keys };
        let of = |rows, seed| random(2 * rows * heads * head_width, seed);
        let (q, k, v) = (of(queries, seed), of(keys, !seed), of(keys, seed ^ 1));
        check(attention::cpu::scratch_len(d), share, q.len(), |cpu, out| {
            let Ok(()) = cpu.attention(out, &q, &k, &v, 1.0, Mask::None, d);
        });
    }

    #[test]
    fn conv2d(
        side in 1_usize..36,
        // Tiles of 4 × 4 serve multiples of sixteen channels.
        inner in prop::sample::select(&[3_usize, 16, 32, 176, 340][..]),
        outer in prop::sample::select(&[3_usize, 16, 48, 80][..]),
        kernel in prop::sample::select(&[1_usize, 3][..]),
        share in share(),
        seed: u64,
    ) {
        let d = conv2d::Dims {
            batch: 1,
            height: side,
            width: side + 1,
            inner,
            outer,
            kernel: [kernel; 2],
            grid: Grid::Same,
            into: None,
        };
        let x = random(side * (side + 1) * inner, seed);
        let weight = random(outer * inner * kernel * kernel, !seed);
        let bias = random(outer, 3);
        check(conv2d::cpu::scratch_len(d), share, side * (side + 1) * outer, |cpu, out| {
            let mut memory = vec![f32::NAN; cpu.conv2d_scratch(d)];
            let (weight, none) = (Matrix::F32(&weight), ConvEpilogue::None);
            let Ok(()) = cpu.conv2d(out, &x, weight, &bias, none, &mut memory, d);
        });
    }

    #[test]
    fn group_norm_and_nearest_code(
        positions in 1_usize..200,
        width in 1_usize..9,
        groups in 1_usize..40,
        share in share(),
        seed: u64,
    ) {
        let d = group_norm::Dims { batch: 1, positions, channels: width * groups, groups };
        let x = random(positions * d.channels, seed);
        let (weight, bias) = (random(d.channels, 1), random(d.channels, 2));
        check(group_norm::cpu::scratch_len(d), share, x.len(), |cpu, out| {
            let Ok(()) = cpu.group_norm(out, &x, &weight, &bias, 1e-6, Activation::Silu, d);
        });
        let d = nearest_code::Dims { rows: positions, codes: groups, width };
        let (x, codebook) = (random(positions * width, seed), random(groups * width, !seed));
        check(nearest_code::cpu::scratch_len(d), share, positions, |cpu, out| {
            let tokens: &mut [u32] = bytemuck::cast_slice_mut(out);
            let Ok(()) = cpu.nearest_code(tokens, &x, &codebook, Distance::Angle, d);
        });
    }
}

#[test]
#[should_panic(expected = "attention: 3916 floats of scratch memory wanted, 3915 lent")]
fn scratch_below_the_least_is_refused() {
    let d =
        attention::Dims { batch: 1, heads: 1, head_width: 8, queries: 4, keys: 129, capacity: 129 };
    let mut scratch = vec![0.0; attention::cpu::scratch_len(d) - 1];
    let inline = Inline::new(&mut scratch);
    let (q, k) = (random(4 * 8, 0), random(129 * 8, 1));
    let mut out = vec![0.0; 4 * 8];
    let Ok(()) = Cpu::new(Isa::best(), &inline).attention(&mut out, &q, &k, &k, 1.0, Mask::None, d);
}
