//! refine against a naive oracle: each cell's formula, in `f64`.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::ops::Elementwise;
use crate::ops::resize::tests::cubic_weights;
use crate::ops::testing::{AllocBuffer, coarse, on_each_backend, random, tokens_in};

/// A map's contribution in f64.
fn oracle(map: &[f32], weight: &[f32], bias: &[f32], ratio: f64, d: Dims) -> Vec<f64> {
    let Dims { batch, from, to, channels } = d;
    let axis: Vec<_> = (0..to).map(|i| cubic_weights(i, from, to)).collect();
    let at = |y: usize, x: usize, c: usize| (y * to + x) * channels + c;
    let mut out = Vec::new();
    for b in 0..batch {
        let mut enlarged = vec![0.0; to * to * channels];
        for (i, value) in enlarged.iter_mut().enumerate() {
            let (y, x, c) = (i / channels / to, i / channels % to, i % channels);
            for (row, of_row) in axis[y].iter().enumerate() {
                for (column, of_column) in axis[x].iter().enumerate() {
                    let cell = (b * from + row) * from + column;
                    *value += of_row * of_column * f64::from(map[cell * channels + c]);
                }
            }
        }
        for i in 0..enlarged.len() {
            let (y, x, o) = (i / channels / to, i / channels % to, i % channels);
            let mut sum = f64::from(bias[o]);
            for (dy, dx) in (0..9).map(|tap| (tap / 3, tap % 3)) {
                let inside = (1..=to).contains(&(y + dy)) && (1..=to).contains(&(x + dx));
                for c in (0..channels).take_while(|_| inside) {
                    let factor = weight[(o * channels + c) * 9 + dy * 3 + dx];
                    sum += enlarged[at(y + dy - 1, x + dx - 1, c)] * f64::from(factor);
                }
            }
            out.push((1.0 - ratio) * enlarged[i] + ratio * sum);
        }
    }
    out
}

/// Every change, of a map and of tokens.
fn compare(d: Dims, ratio: f32, seed: u64) {
    const CODES: usize = 11;
    let channels = d.channels;
    let codebook = random(CODES * channels, seed);
    let tokens: Vec<u32> = (0..d.cells()).map(|i| (i * 7 + seed as usize) as u32 % 11).collect();
    let map: Vec<f32> = (tokens.iter())
        .flat_map(|token| codebook[*token as usize * channels..][..channels].to_vec())
        .collect();
    let weight = coarse(9 * channels * channels, seed ^ 1);
    let (bias, before) = (random(channels, seed ^ 2), random(d.latents(), seed ^ 3));
    let contribution = oracle(&map, &weight, &bias, ratio.into(), d);
    // In the memory of a run, as a device holds them.
    let words: Vec<f32> = tokens.iter().map(|token| f32::from_bits(*token)).collect();
    for change in [Change::Set, Change::Add, Change::Subtract] {
        let want: Vec<f64> = (contribution.iter().zip(&before))
            .map(|(contribution, before)| match change {
                Change::Set => *contribution,
                Change::Add => f64::from(*before) + contribution,
                Change::Subtract => f64::from(*before) - contribution,
            })
            .collect();
        for by_tokens in [false, true] {
            for got in on_each_backend!(
                [out: d.latents(), found: d.cells()],
                [map, bias, before, codebook, words],
                [weight: [channels, channels, 3, 3]],
                |b| {
                    b.copy(out, before).unwrap();
                    b.copy(found, words).unwrap();
                    let found = &*tokens_in(b, found);
                    let codes = if by_tokens {
                        Codes::Tokens { codebook, tokens: found }
                    } else {
                        Codes::Map(map)
                    };
                    let refinement = Phi { weight, bias, ratio };
                    let mut scratch = b.alloc(b.quantizer_step_scratch(d));
                    b.quantizer_step(out, codes, refinement, change, &mut scratch, d)
                }
            ) {
                let what = (change, by_tokens);
                let got = got.part(0..d.latents());
                let tolerance = 2e-6 * (9.0 * channels as f64).sqrt().max(4.0);
                assert_eq!(got.values.len(), want.len(), "{what:?}");
                got.assert_as_close(&want, tolerance);
            }
        }
    }
}

#[test]
fn published_scales() {
    for (from, to) in [(1, 16), (2, 16), (13, 16), (16, 16)] {
        compare(Dims { batch: 1, from, to, channels: 32 }, 0.5, 1);
    }
}

#[test]
fn codes_without_a_refinement_are_enlarged_only() {
    compare(Dims { batch: 2, from: 3, to: 5, channels: 7 }, 0.0, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn quantizer_step_matches_naive_at_any_sides_and_channels(
        batch in 0_usize..3, from in 1_usize..6, to in 1_usize..7, channels in 1_usize..20, seed: u64,
    ) {
        compare(Dims { batch, from, to, channels }, 0.5, seed);
    }
}

#[test]
#[should_panic(expected = "there are not batch × from² tokens")]
fn tokens_of_another_length_are_refused() {
    let d = Dims { batch: 1, from: 2, to: 2, channels: 1 };
    crate::ops::testing::on_each_cpu(4, |cpu, out| {
        let codes = Codes::Tokens { codebook: &[0.0; 5][..], tokens: &[0; 3][..] };
        let weight = crate::cpu::Matrix::F32(&[0.0; 9]);
        let refinement = Phi { weight, bias: &[0.0][..], ratio: 0.5 };
        cpu.quantizer_step(out, codes, refinement, Change::Set, &mut [], d).unwrap();
    });
}
