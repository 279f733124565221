//! Gradients of the split against finite differences.

use proptest::prelude::*;
use var_kernel::ops::split_qkv::{Dims, LONGEST_LOG, Normalization, SplitQkv};

use super::SplitQkvBackward;
use crate::grad::testing::{differences, on_each_backend, random};

/// Queries, keys and values, one behind the other.
fn naive(qkv: &[f64], bias: &[f64], scale: Option<&[f64]>, d: Dims) -> Vec<f64> {
    let width = d.width();
    let part = |number: usize| {
        qkv.chunks_exact(3 * width).flat_map(move |row| {
            let mut row = row[number * width..(number + 1) * width].to_vec();
            if number == 0 {
                row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
            }
            if let (Some(scale), true) = (scale, number < 2) {
                for (head, x) in row.chunks_exact_mut(d.head_width).enumerate() {
                    let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
                    let log =
                        if number == 0 { scale[head].min(f64::from(LONGEST_LOG)) } else { 0.0 };
                    x.iter_mut().for_each(|x| *x = *x / length * log.exp());
                }
            }
            row
        })
    };
    (0..3).flat_map(part).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn matches_finite_differences(
        batch in 1_usize..3, rows in 1_usize..5, heads in 1_usize..4, head_width in 2_usize..20,
        unit_length: bool, seed: u64,
    ) {
        // (A head of one number of unit length is a sign: its gradient is 0 but for rounding.)
        let d = Dims { batch, rows, heads, head_width, start: 0, capacity: rows };
        let (all, width) = (batch * rows * d.width(), d.width());
        let (qkv, gradient) = (random(3 * all, seed), random(3 * all, !seed));
        let bias = random(width, seed ^ 3);
        // The last head's scale is past its ceiling.
        let mut scale = random(heads, seed ^ 4);
        scale[heads - 1] = LONGEST_LOG + 0.5;
        let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let (wide_qkv, wide_bias, wide_scale) = (wide(&qkv), wide(&bias), wide(&scale));
        let of_scale = unit_length.then_some(&wide_scale[..]);
        let (dq, rest) = gradient.split_at(all);
        let (dk, dv) = rest.split_at(all);
        let want = differences(&qkv, &gradient, |qkv| naive(qkv, &wide_bias, of_scale, d));
        let largest = want.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
        for got in on_each_backend!(
            [dqkv: vec![0.0; 3 * all]], [dq, dk, dv, qkv, bias, scale], [],
            |b| {
                let normalization =
                    if unit_length { Normalization::UnitLength { scale } } else { Normalization::None };
                b.split_qkv_backward(dqkv, [dq, dk, dv], qkv, Some(bias), normalization, d)
            }
        ) {
            got.assert_close(&want, 5e-5 * largest);
        }

        if unit_length {
            let want = differences(&scale, &gradient, |scale| {
                naive(&wide_qkv, &wide_bias, Some(scale), d)
            });
            let zeros = vec![0.0; all];
            for got in on_each_backend!(
                [dscale: vec![0.0; heads], q: zeros, k: zeros, v: zeros], [dq, qkv, bias, scale], [],
                |b| {
                    let normalization = Normalization::UnitLength { scale };
                    b.split_qkv(q, k, v, qkv, Some([bias, bias]), normalization, d)
                        .and_then(|()| b.split_qkv_backward_scale(dscale, dq, q, scale, d))
                }
            ) {
                got.part(0..heads).assert_close(&want, 1e-4);
            }
        }
    }
}

#[test]
fn scale_of_many_rows() {
    let d = Dims { batch: 2, rows: 150, heads: 3, head_width: 5, start: 0, capacity: 150 };
    let all = d.batch * d.rows * d.width();
    let (dq, q, scale) = (random(all, 1), random(all, 2), random(d.heads, 3));
    let of_head = |head: usize| {
        let numbers = (0..all).filter(move |i| i % d.width() / d.head_width == head);
        numbers.map(|i| f64::from(dq[i]) * f64::from(q[i])).sum::<f64>()
    };
    let want: Vec<f64> = (0..d.heads).map(of_head).collect();
    for got in on_each_backend!([dscale: vec![0.0; d.heads]], [dq, q, scale], [], |b| {
        b.split_qkv_backward_scale(dscale, dq, q, scale, d)
    }) {
        got.assert_close(&want, 1e-5);
    }
}

#[test]
fn gradient_of_a_scale_beyond_ln_100_is_0() {
    let d = Dims { batch: 1, rows: 1, heads: 3, head_width: 2, start: 0, capacity: 1 };
    let (scale, qkv) = (vec![4.6, 4.7, 20.0], [3.0, 4.0].repeat(9));
    let (dq, zeros) = ([1.0, 0.0].repeat(3), vec![0.0; d.width()]);
    let below = f64::from(4.6_f32).exp();
    // q = s · x / |x|: dq/dx = s · (1 − x xᵀ / |x|²) / |x|, of which the first row is (0.64, −0.48) / 5.
    let want: Vec<f64> = [below, 100.0, 100.0]
        .iter()
        .flat_map(|s| [s * 0.128, s * -0.096])
        .chain([0.0; 12])
        .collect();
    for got in on_each_backend!([dqkv: [0.0; 18]], [dq, zeros, qkv, scale], [], |b| {
        let normalization = Normalization::UnitLength { scale };
        b.split_qkv_backward(dqkv, [dq, zeros, zeros], qkv, Some(zeros), normalization, d)
    }) {
        got.assert_close(&want, 1e-5);
    }
    let q = [below, 100.0, 100.0].map(|s| [(0.6 * s) as f32, (0.8 * s) as f32]);
    let q = q.as_flattened().to_vec();
    for got in on_each_backend!([dscale: [0.0; 3]], [dq, q, scale], [], |b| {
        b.split_qkv_backward_scale(dscale, dq, q, scale, d)
    }) {
        got.assert_close(&[0.6 * below, 0.0, 0.0], 1e-5);
    }
}
