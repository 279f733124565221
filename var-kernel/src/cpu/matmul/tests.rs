//! Packed products against chains of scalars.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::gemm::{GemmOperands, GemmSize};
use super::*;
use crate::cpu::Isa;
use crate::cpu::simd::SimdKernel;
use crate::ops::testing::{on_each_cpu, random};

/// `left · rightᵀ` (`rows × depth` and `columns × depth`, row-major) cut into blocks of `block` along
/// k; if `transposed`, `left` is stored as `depth × rows`.
struct Product<'a> {
    left: &'a [f32],
    right: &'a [f32],
    rows: usize,
    columns: usize,
    depth: usize,
    block: usize,
    transposed: bool,
}

impl SimdKernel for Product<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let Self { rows, columns, depth, .. } = self;
        let mut values = vec![f32::NAN; rows * columns];
        let mut out = Strided { values: &mut values, stride: columns };
        for k in (0..depth).step_by(self.block) {
            let block = k..depth.min(k + self.block);
            let mut packed_left = vec![f32::NAN; packed_a_len::<S>(rows, block.len())];
            if self.transposed {
                let left = RowMajor { values: self.left, stride: rows };
                pack_a_transposed(s, &mut packed_left, &left, 0..rows, block.clone());
            } else {
                let left = RowMajor { values: self.left, stride: depth };
                pack_a(s, &mut packed_left, &left, 0..rows, block.clone());
            }
            let mut packed_right = vec![f32::NAN; packed_b_len(columns, block.len())];
            let right = RowMajor { values: self.right, stride: depth };
            pack_b_transposed(s, &mut packed_right, &right, 0..columns, block.clone());
            let start = if k == 0 { Initial::Zero } else { Initial::Output };
            multiply(
                s,
                &mut out,
                0..rows,
                0..columns,
                &packed_left,
                &packed_right,
                block.len(),
                start,
            );
        }
        values
    }
}

/// `leftᵀ · right`: `depth × rows` and `depth × columns`.
struct OverRows<'a> {
    left: RowMajor<'a, f32>,
    right: RowMajor<'a, f32>,
}

impl GemmOperands for OverRows<'_> {
    #[inline(always)]
    fn pack_a<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>) {
        pack_a_transposed(s, to, &self.left, rows, depth);
    }

    #[inline(always)]
    fn pack_b<S: Simd>(&self, s: S, to: &mut [f32], columns: Range<usize>, depth: Range<usize>) {
        pack_b(s, to, &self.right, columns, depth);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn product_carries_on_where_its_output_stands(
        rows in 1_usize..90,
        columns in 1_usize..90,
        depth in 0_usize..600,
        seed: u64,
    ) {
        let (left, right) = (random(rows * depth, seed), random(columns * depth, !seed));
        let before = random(rows * columns, 7);
        let operands = OverRows {
            left: RowMajor { values: &left, stride: rows },
            right: RowMajor { values: &right, stride: columns },
        };
        let got = on_each_cpu(before.len(), |cpu, out| {
            out.copy_from_slice(&before);
            cpu.gemm(out, &operands, GemmSize { rows, columns, depth }, Initial::Output);
        });
        for (i, got) in got.iter().enumerate() {
            let (r, c) = (i / columns, i % columns);
            let chain = |sum: f32, k: usize| left[k * rows + r].mul_add(right[k * columns + c], sum);
            prop_assert_eq!(*got, (0..depth).fold(before[i], chain));
        }
    }
}

proptest! {
    #[test]
    fn every_element_is_one_chain(
        rows in 1_usize..30,
        columns in 1_usize..70,
        depth in 1_usize..40,
        block in 1_usize..40,
        transposed: bool,
        seed: u64,
    ) {
        let left = random(rows * depth, seed);
        let right = random(columns * depth, !seed);
        let mut want = Vec::new();
        for r in 0..rows {
            for c in 0..columns {
                want.push((0..depth).fold(0.0, |sum: f32, k| {
                    let left = left[if transposed { k * rows + r } else { r * depth + k }];
                    left.mul_add(right[c * depth + k], sum)
                }));
            }
        }
        for isa in Isa::all() {
            let product =
                Product { left: &left, right: &right, rows, columns, depth, block, transposed };
            prop_assert_eq!(&isa.run(product), &want, "{:?}", isa);
        }
    }
}
