//! Operations of one pass against naive oracles.

use std::vec::Vec;

use proptest::prelude::*;

use super::{Combine, PlaceDims};
use crate::memory::Device;
use crate::ops::PerRow;
use crate::ops::testing::{on_each_backend, random, tokens_in};

proptest! {
    #[test]
    fn blend_matches_naive(length in 1_usize..100, a_factor in -2.0_f32..2.0, b_factor in -2.0_f32..2.0) {
        let (a, b) = (random(length, 1), random(length, 2));
        let naive = |(a, b): (&f32, &f32)| {
            f64::from(*a) * f64::from(a_factor) + f64::from(*b) * f64::from(b_factor)
        };
        let want: Vec<f64> = a.iter().zip(&b).map(naive).collect();
        for got in on_each_backend!([out: length], [a, b], |on| {
            on.blend(out, (a, a_factor), (b, b_factor))
        }) {
            got.assert_as_close(&want, 1e-6);
        }
    }

    #[test]
    fn a_table_is_added_to_every_period(period in 1_usize..40, times in 1_usize..5) {
        let (x, table) = (random(period * times, 1), random(period, 2));
        let want = x.iter().enumerate().map(|(i, x)| f64::from(x + table[i % period]));
        let want: Vec<f64> = want.collect();
        for got in on_each_backend!([out: x.len()], [x, table], |b| b.add_table(out, x, table)) {
            got.assert_as_close(&want, 0.0);
        }
    }

    #[test]
    fn silu_matches_naive(length in 1_usize..100) {
        let x: Vec<f32> = random(length, 1).iter().map(|x| 20.0 * x).collect();
        let naive = |x: &f32| f64::from(*x) / (1.0 + (-f64::from(*x)).exp());
        let want: Vec<f64> = x.iter().map(naive).collect();
        for got in on_each_backend!([out: length], [x], |b| b.silu(out, x)) {
            got.assert_as_close(&want, 4e-6);
        }
    }

    #[test]
    fn gelu_matches_naive(length in 1_usize..100) {
        let x: Vec<f32> = random(length, 1).iter().map(|x| 20.0 * x).collect();
        let naive = |x: &f32| {
            let x = f64::from(*x);
            let u = (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + u.tanh())
        };
        let want: Vec<f64> = x.iter().map(naive).collect();
        for got in on_each_backend!([out: length], [x], |b| b.gelu(out, x)) {
            got.assert_close(&want, 4e-6);
        }
    }

    #[test]
    fn gated_matches_naive(rows in 1_usize..9, width in 1_usize..40, each in 1_usize..5, start in 0_usize..3) {
        let stride = width + 3;
        let (residual, x) = (random(rows * width, 1), random(rows * width, 2));
        let table = random(rows.div_ceil(each) * stride, 3);
        let want = (0..rows * width).map(|i| {
            let gate = table[i / width / each * stride + start + i % width];
            f64::from(residual[i]) + f64::from(gate) * f64::from(x[i])
        });
        let want: Vec<f64> = want.collect();
        for got in on_each_backend!([out: x.len()], [residual, x, table], |b| {
            b.gated(out, residual, x, PerRow { table, start, stride, rows: each }, width)
        }) {
            got.assert_as_close(&want, 2e-7);
        }
    }

    #[test]
    fn every_row_has_its_factor_and_its_place(rows in 1_usize..9, width in 1_usize..20, start in 0_usize..5) {
        let (x, factors) = (random(rows * width, 1), random(rows, 2));
        for got in on_each_backend!([out: x.len()], [x, factors], |b| b.scale_rows(out, x, factors)) {
            let scaled = got.values;
            prop_assert!((0..x.len()).all(|i| scaled[i] == x[i] * factors[i / width]));
        }

        let stride = start + width + 2;
        let before = random(rows * stride, 3);
        for got in on_each_backend!([out: rows * stride], [x, before], |b| {
            b.copy(out, before)
                .and_then(|()| b.place_rows(out, x, PlaceDims { rows, width, stride, start }))
        }) {
            for (i, value) in got.values.iter().enumerate() {
                let (row, column) = (i / stride, i % stride);
                let inside = (start..start + width).contains(&column);
                let want = if inside { x[row * width + column - start] } else { before[i] };
                prop_assert_eq!(*value, want);
            }
        }
    }

    #[test]
    fn kept_tokens_are_given_and_tokens_find_their_codes(
        width in 1_usize..20,
        drawn in prop::collection::vec(0_u32..7, 6..7),
        given in prop::collection::vec(0_u32..7, 6..7),
        kept in prop::collection::vec(any::<bool>(), 3..4),
    ) {
        let codebook = random(7 * width, 1);
        for got in on_each_backend!([codes: 6 * width, run: 6], [codebook], |b| {
            let tokens = tokens_in(b, run);
            b.upload_tokens(tokens, &drawn)
                .and_then(|()| b.keep_tokens(tokens, &given, &kept))
                .and_then(|()| b.codes(codes, codebook, tokens, width))
        }) {
            let token = |i: usize| if kept[i % 3] { given[i] } else { drawn[i] } as usize;
            let want = (0..6).flat_map(|i| &codebook[token(i) * width..][..width]);
            prop_assert!(got.values[..6 * width].iter().eq(want));
        }
    }

    #[test]
    fn codes_of_a_token_past_the_end_are_nan(width in 1_usize..20, past in 7_u32..) {
        let codebook = random(7 * width, 1);
        for got in on_each_backend!([codes: 2 * width, run: 2], [codebook], |b| {
            let tokens = tokens_in(b, run);
            let uploaded = b.upload_tokens(tokens, &[past, 6]);
            uploaded.and_then(|()| b.codes(codes, codebook, tokens, width))
        }) {
            prop_assert!(got.values[..width].iter().all(|value| value.is_nan()));
            prop_assert_eq!(&got.values[width..2 * width], &codebook[6 * width..]);
        }
    }

    #[test]
    fn embedding_copies_rows(width in 1_usize..20, indices in prop::collection::vec(0_u32..7, 1..9)) {
        let table = random(7 * width, 1);
        for got in on_each_backend!([out: indices.len() * width], [table], |b| {
            b.embedding(out, table, &indices, width)
        }) {
            let want = indices.iter().flat_map(|i| &table[*i as usize * width..][..width]);
            prop_assert!(got.values.iter().eq(want));
        }
    }
}
