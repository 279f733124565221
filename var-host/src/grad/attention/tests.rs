//! Gradients of attention against finite differences.

use proptest::prelude::*;
use var_kernel::ops::attention::{Dims, Mask};

use super::AttentionBackward;
use crate::grad::testing::{differences, on_each_backend, random};

/// The forward pass of q, k and v, one behind the other.
fn naive(qkv: &[f64], scale: f64, mask: Mask<'_>, d: Dims) -> Vec<f64> {
    let width = d.heads * d.head_width;
    let (q, rest) = qkv.split_at(d.batch * d.queries * width);
    let (k, v) = rest.split_at(d.batch * d.keys * width);
    let mut out = vec![0.0; q.len()];
    for b in 0..d.batch {
        for h in 0..d.heads {
            for i in 0..d.queries {
                let at = |row: usize| row * width + h * d.head_width;
                let q = &q[at(b * d.queries + i)..][..d.head_width];
                let seen = mask.visible(i, d.keys);
                let scores: Vec<f64> = (0..seen)
                    .map(|j| {
                        let k = &k[at(b * d.keys + j)..][..d.head_width];
                        (scale * q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>()).exp()
                    })
                    .collect();
                let total: f64 = scores.iter().sum();
                for (j, score) in scores.iter().enumerate() {
                    for c in 0..d.head_width {
                        out[at(b * d.queries + i) + c] += score / total * v[at(b * d.keys + j) + c];
                    }
                }
            }
        }
    }
    out
}

fn check(d: Dims, scale: f32, mask: Mask<'_>, seed: u64) {
    let width = d.heads * d.head_width;
    let (of_q, of_k) = (d.batch * d.queries * width, d.batch * d.keys * width);
    let (qkv, dout) = (random(of_q + 2 * of_k, seed), random(of_q, !seed));
    let want = differences(&qkv, &dout, |qkv| naive(qkv, f64::from(scale), mask, d));
    compare(&qkv, &dout, &want, scale, mask, d);
}

/// Every backend adds `want` for `qkv`.
fn compare(qkv: &[f32], dout: &[f32], want: &[f64], scale: f32, mask: Mask<'_>, d: Dims) {
    let width = d.heads * d.head_width;
    let (of_q, of_k) = (d.batch * d.queries * width, d.batch * d.keys * width);
    let (q, rest) = qkv.split_at(of_q);
    let (k, v) = rest.split_at(of_k);
    // As much scratch memory as any of them wants.
    let scratch =
        vec![f32::NAN; (d.batch * d.heads) * (d.queries + 2 * d.keys) * d.head_width.max(2)];
    for got in on_each_backend!(
        [dq: vec![0.0; of_q], dk: vec![0.0; of_k], dv: vec![0.0; of_k], scratch: scratch],
        [dout, q, k, v], [],
        |b| b.attention_backward([dq, dk, dv], dout, q, k, v, scale, mask, scratch, d)
    ) {
        got.part(0..qkv.len()).assert_close(want, 2e-5);
    }
}

/// The gradient by its formula, for sizes that would take too many differences.
fn by_formula(qkv: &[f32], dout: &[f32], scale: f64, mask: Mask<'_>, d: Dims) -> Vec<f64> {
    let width = d.heads * d.head_width;
    let (of_q, of_k) = (d.batch * d.queries * width, d.batch * d.keys * width);
    let mut out = vec![0.0; of_q + 2 * of_k];
    for head in 0..d.batch * d.heads {
        let (sequence, head) = (head / d.heads, head % d.heads);
        let of_query = |i: usize| (sequence * d.queries + i) * width + head * d.head_width;
        let of_key = |j: usize| of_q + (sequence * d.keys + j) * width + head * d.head_width;
        let dot = |a: &[f32], b: &[f32]| {
            let gemm_provider = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
            gemm_provider.take(d.head_width).sum::<f64>()
        };
        for i in 0..d.queries {
            let (query, seen) = (of_query(i), mask.visible(i, d.keys));
            let score = |j| (scale * dot(&qkv[query..], &qkv[of_key(j)..])).exp();
            let scores: Vec<f64> = (0..seen).map(score).collect();
            let total: f64 = scores.iter().sum();
            let dp = |j| dot(&dout[query..], &qkv[of_key(j) + of_k..]);
            let dp: Vec<f64> = (0..seen).map(dp).collect();
            let delta: f64 = scores.iter().zip(&dp).map(|(p, dp)| p / total * dp).sum();
            for j in 0..seen {
                let (key, p) = (of_key(j), scores[j] / total);
                let ds = scale * p * (dp[j] - delta);
                for c in 0..d.head_width {
                    out[query + c] += ds * f64::from(qkv[key + c]);
                    out[key + c] += ds * f64::from(qkv[query + c]);
                    out[key + of_k + c] += p * f64::from(dout[query + c]);
                }
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn matches_finite_differences(
        batch in 1_usize..3, heads in 1_usize..3, head_width in 1_usize..20,
        queries in 1_usize..7, keys in 1_usize..9, scale in -2.0_f32..2.0, seed: u64,
    ) {
        check(Dims { batch, heads, head_width, queries, keys, capacity: keys }, scale, Mask::None, seed);
    }

    #[test]
    fn matches_finite_differences_under_a_mask(
        cells in prop::collection::vec(1_usize..5, 1..4), head_width in 1_usize..9, seed: u64,
    ) {
        let ends: Vec<usize> = cells.iter().scan(0, |end, cells| { *end += cells; Some(*end) }).collect();
        let rows = ends[ends.len() - 1];
        let d = Dims { batch: 2, heads: 2, head_width, queries: rows, keys: rows, capacity: rows };
        check(d, 0.7, Mask::UpToScale(&ends), seed);
    }
}

#[test]
fn queries_beyond_a_block_under_a_mask() {
    let ends = [3, 50, 70, 131];
    let d = Dims { batch: 1, heads: 1, head_width: 2, queries: 131, keys: 131, capacity: 131 };
    check(d, 1.0, Mask::UpToScale(&ends), 11);
}

#[test]
fn heads_of_64_over_several_tiles() {
    let of =
        |queries, keys| Dims { batch: 2, heads: 2, head_width: 64, queries, keys, capacity: keys };
    let ends = [1, 5, 14, 30, 66, 130];
    let cases = [
        (of(130, 130), Mask::UpToScale(&ends)),
        (of(70, 70), Mask::UpToScale(&[70])),
        (of(3, 65), Mask::None),
        (of(65, 3), Mask::None),
    ];
    for (d, mask) in cases {
        let width = d.heads * d.head_width;
        let (of_q, of_k) = (d.batch * d.queries * width, d.batch * d.keys * width);
        let (qkv, dout) = (random(of_q + 2 * of_k, 7), random(of_q, 8));
        let want = by_formula(&qkv, &dout, 0.5, mask, d);
        compare(&qkv, &dout, &want, 0.5, mask, d);
    }
}
