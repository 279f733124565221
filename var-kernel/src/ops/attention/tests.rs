//! attention against a naive oracle.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::cpu::{Cpu, Inline, Isa, SCRATCH_FLOATS};
use crate::ops::testing::{coarse, on_each_backend};

/// The formula in `f64`, one query at a time.
fn oracle(q: &[f32], k: &[f32], v: &[f32], scale: f32, mask: Mask<'_>, d: Dims) -> Vec<f64> {
    let width = d.heads * d.head_width;
    let mut out = vec![0.0; q.len()];
    for b in 0..d.batch {
        for query in 0..d.queries {
            for head in 0..d.heads {
                let row = (b * d.queries + query) * width + head * d.head_width;
                let key = |j: usize| (b * d.capacity + j) * width + head * d.head_width;
                let scores: Vec<f64> = (0..mask.visible(query, d.keys))
                    .map(|j| {
                        let pairs = q[row..].iter().zip(&k[key(j)..]).take(d.head_width);
                        let dot: f64 = pairs.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                        dot * f64::from(scale)
                    })
                    .collect();
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|x| (x - top).exp()).sum();
                for (j, x) in scores.iter().enumerate() {
                    let p = (x - top).exp() / total;
                    for c in 0..d.head_width {
                        out[row + c] += p * f64::from(v[key(j) + c]);
                    }
                }
            }
        }
    }
    out
}

struct Operands {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

/// Random operands; the cache past the keys in use is NaN, so that reading it shows.
fn operands(d: Dims, seed: u64) -> Operands {
    let width = d.heads * d.head_width;
    let q = coarse(d.batch * d.queries * width, seed);
    let kept = |seed| {
        let mut kept = coarse(d.batch * d.capacity * width, seed);
        for sequence in kept.chunks_mut(d.capacity * width) {
            sequence[d.keys * width..].fill(f32::NAN);
        }
        kept
    };
    Operands { q, k: kept(seed ^ 1), v: kept(seed ^ 2) }
}

/// Compares with the oracle on every instruction set and number of threads.
fn check(d: Dims, scale: f32, mask: Mask<'_>, seed: u64) {
    let Operands { q, k, v } = operands(d, seed);
    let want = oracle(&q, &k, &v, scale, mask, d);
    // Averages of numbers below 1: scores are off by up to head_width · |scale| · 6e-8.
    let tolerance = 2e-6 * (1.0 + f64::from(scale.abs())) * (d.head_width as f64).sqrt();
    for got in on_each_backend!([out: q.len()], [q, k, v], |b| {
        b.attention(out, q, k, v, scale, mask, d)
    }) {
        got.assert_close(&want, tolerance);
    }
}

#[test]
fn sizes_of_the_models() {
    for (batch, heads, head_width, queries, keys, capacity) in [
        (2, 2, 64, 1, 1, 40),
        (2, 2, 64, 4, 5, 40),
        (2, 1, 64, 169, 300, 300),
        (1, 2, 64, 70, 129, 130),
        (1, 1, 640, 40, 300, 300),
        (1, 1, 1024, 19, 70, 70),
        (3, 2, 32, 5, 515, 600),
    ] {
        let d = Dims { batch, heads, head_width, queries, keys, capacity };
        check(d, 4.0, Mask::None, 7);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn attention_matches_naive_at_any_sizes(
        batch in 1_usize..4,
        heads in 1_usize..4,
        head_width in 1_usize..40,
        queries in 1_usize..40,
        keys in 1_usize..50,
        spare in 0_usize..3,
        scale in -3.0_f32..3.0,
        seed: u64,
    ) {
        let d = Dims { batch, heads, head_width, queries, keys, capacity: keys + spare };
        check(d, scale, Mask::None, seed);
    }

    #[test]
    fn attention_follows_any_mask(
        steps in prop::collection::vec(1_usize..12, 1..6),
        head_width in prop::sample::select(&[1_usize, 13, 29, 64][..]),
        seed: u64,
    ) {
        let ends: Vec<usize> = steps
            .iter()
            .scan(0, |end, step| {
                *end += step;
                Some(*end)
            })
            .collect();
        let keys = *ends.last().unwrap();
        let d = Dims { batch: 2, heads: 2, head_width, queries: keys, keys, capacity: keys };
        check(d, 1.0, Mask::UpToScale(&ends), seed);
    }
}

/// Tiles of keys that some queries see and some do not, and tiles that none sees.
#[test]
fn masks_that_cut_tiles() {
    let ends = [1, 5, 14, 30, 55, 91, 155];
    let d = Dims { batch: 2, heads: 1, head_width: 64, queries: 155, keys: 155, capacity: 155 };
    check(d, 2.0, Mask::UpToScale(&ends), 11);
}

/// One masked pass equals sampling with a cache, scale after scale.
#[test]
fn masked_pass_equals_unmasked_calls_bit_for_bit() {
    let ends = [1, 5, 14, 30, 255, 256, 290, 520, 600];
    let (heads, head_width) = (2, 20);
    let width = heads * head_width;
    let whole = Dims { batch: 1, heads, head_width, queries: 600, keys: 600, capacity: 600 };
    let Operands { q, k, v } = operands(whole, 3);
    let mut scratch = vec![0.0; SCRATCH_FLOATS];
    let inline = Inline::new(&mut scratch);
    let cpu = Cpu::new(Isa::best(), &inline);
    let mut masked = vec![f32::NAN; q.len()];
    let Ok(()) = cpu.attention(&mut masked, &q, &k, &v, 2.0, Mask::UpToScale(&ends), whole);
    let mut start = 0;
    for end in ends {
        let d = Dims { queries: end - start, keys: end, ..whole };
        let rows = start * width..end * width;
        let mut out = vec![f32::NAN; rows.len()];
        let Ok(()) = cpu.attention(&mut out, &q[rows.clone()], &k, &v, 2.0, Mask::None, d);
        let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&out), bits(&masked[rows]), "scale that ends at {end}");
        start = end;
    }
}

#[test]
fn scores_far_apart_do_not_overflow() {
    let d = Dims { batch: 1, heads: 1, head_width: 8, queries: 3, keys: 300, capacity: 300 };
    let Operands { q, k, v } = operands(d, 5);
    let want = oracle(&q, &k, &v, 1e4, Mask::None, d);
    for got in on_each_backend!([out: q.len()], [q, k, v], |b| {
        b.attention(out, q, k, v, 1e4, Mask::None, d)
    }) {
        got.assert_close(&want, 1e-2);
    }
}

#[test]
#[should_panic(expected = "1025 wide")]
fn head_too_wide_is_refused() {
    let d = Dims { batch: 1, heads: 1, head_width: 1025, queries: 1, keys: 1, capacity: 1 };
    check(d, 1.0, Mask::None, 0);
}
