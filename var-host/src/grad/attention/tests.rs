//! Gradients of attention against finite differences.

use proptest::prelude::*;
use var_kernel::ops::attention::{Dims, Mask};

use super::AttentionBackward;
use crate::grad::testing::{assert_close, differences, on_each_cpu, random};

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
    let got = on_each_cpu(qkv.len(), |cpu, out| {
        out.fill(0.0);
        let (dq, rest) = out.split_at_mut(of_q);
        let (dk, dv) = rest.split_at_mut(of_k);
        let (q, rest) = qkv.split_at(of_q);
        let (k, v) = rest.split_at(of_k);
        let mut scratch = vec![f32::NAN; cpu.attention_backward_scratch(d)];
        let Ok(()) =
            cpu.attention_backward([dq, dk, dv], &dout, q, k, v, scale, mask, &mut scratch, d);
    });
    let want = differences(&qkv, &dout, |qkv| naive(qkv, f64::from(scale), mask, d));
    assert_close(&got, &want, 2e-5);
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
fn more_queries_than_a_block_under_a_mask() {
    let ends = [3, 50, 70, 131];
    let d = Dims { batch: 1, heads: 1, head_width: 2, queries: 131, keys: 131, capacity: 131 };
    check(d, 1.0, Mask::UpToScale(&ends), 11);
}
