//! Queries, keys and values against a naive oracle.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Dims, Normalization, SplitQkv};
use crate::ops::testing::{on_each_backend, random};

/// Row `i` of sequence `b`, third `part`, made unit length per head times `exp(scale)`.
fn naive(
    qkv: &[f32],
    bias: Option<&[f32]>,
    scale: Option<&[f32]>,
    part: usize,
    d: Dims,
) -> Vec<f64> {
    let width = d.width();
    let mut out = Vec::new();
    for row in qkv.chunks_exact(3 * width) {
        for head in 0..d.heads {
            let at = |c: usize| {
                let c = head * d.head_width + c;
                f64::from(row[part * width + c]) + bias.map_or(0.0, |bias| f64::from(bias[c]))
            };
            let length = (0..d.head_width).map(|c| at(c).powi(2)).sum::<f64>().sqrt();
            let factor = match scale {
                None => 1.0,
                Some(scale) => f64::from(scale[head]).min(100.0_f64.ln()).exp() / length,
            };
            out.extend((0..d.head_width).map(|c| at(c) * factor));
        }
    }
    out
}

proptest! {
    #[test]
    fn matches_naive(
        batch in 1_usize..4, rows in 1_usize..6, heads in 1_usize..4, head_width in 1_usize..40,
        start in 0_usize..5, spare in 0_usize..3, unit: bool,
    ) {
        let d = Dims { batch, rows, heads, head_width, start, capacity: start + rows + spare };
        let qkv = random(batch * rows * 3 * d.width(), 1);
        let (q_bias, v_bias) = (random(d.width(), 2), random(d.width(), 3));
        // Some above ln 100, where the factor stops growing.
        let scale: Vec<f32> = random(heads, 4).iter().map(|x| 5.0 * x).collect();
        let (new, kept) = (batch * rows * d.width(), batch * d.capacity * d.width());
        let ones = vec![0.0; heads];
        let (q_scale, k_scale) = (unit.then_some(&scale[..]), unit.then_some(&ones[..]));
        for got in on_each_backend!([q: new, k: kept, v: kept], [qkv, q_bias, v_bias, scale], |b| {
            let biases = Some([q_bias, v_bias]);
            let normalization =
                if unit { Normalization::UnitLength { scale } } else { Normalization::None };
            b.split_qkv(q, k, v, qkv, biases, normalization, d)
        }) {
            got.part(0..new).assert_close(&naive(&qkv, Some(&q_bias), q_scale, 0, d), 3e-5);
            for (cache, bias, scale, part) in [
                (new..new + kept, None, k_scale, 1),
                (new + kept..new + 2 * kept, Some(&v_bias[..]), None, 2),
            ] {
                let (cache, want) = (got.part(cache), naive(&qkv, bias, scale, part, d));
                let (room, first) = (d.capacity * d.width(), start * d.width());
                for (b, want) in want.chunks_exact(rows * d.width()).enumerate() {
                    let new = b * room + first..b * room + first + want.len();
                    cache.part(new.clone()).assert_close(want, 3e-5);
                    let around = (b * room..new.start).chain(new.end..(b + 1) * room);
                    prop_assert!(around.into_iter().all(|i| cache.values[i].is_nan()), "overwritten");
                }
            }
        }
    }
}

#[test]
fn scale_of_queries_stops_at_100() {
    // Published fixtures never come near ln 100; a run that diverges does.
    let d = Dims { batch: 1, rows: 1, heads: 3, head_width: 2, start: 0, capacity: 1 };
    let (scale, qkv) = (vec![4.6, 4.7, 20.0], [3.0, 4.0].repeat(9));
    let biases = vec![0.0; d.width()];
    for got in on_each_backend!([q: 6, k: 6, v: 6], [qkv, biases, scale], |b| {
        let normalization = Normalization::UnitLength { scale };
        b.split_qkv(q, k, v, qkv, Some([biases, biases]), normalization, d)
    }) {
        let below = f64::from(4.6_f32).exp();
        let lengths = [below, 100.0, 100.0].map(|length| [0.6 * length, 0.8 * length]);
        got.part(0..6).assert_close(lengths.as_flattened(), 1e-5);
        got.part(6..12).assert_close(&[0.6, 0.8].repeat(3), 1e-5);
    }
}
