//! nearest_code against a naive oracle.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Dims, Distance, NearestCode};
use crate::ops::testing::{on_each_backend, random, tokens_in};

/// The squared distance, or minus the cosine.
fn distance_of(x: &[f32], code: &[f32], distance: Distance) -> f64 {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    match distance {
        Distance::Euclidean => product(x, x) + product(code, code) - 2.0 * product(x, code),
        Distance::Angle => {
            let length = |v: &[f32]| product(v, v).sqrt().max(1e-12);
            -product(x, code) / length(x) / length(code)
        }
    }
}

/// Tokens found by every backend, all equal.
fn tokens(x: &[f32], codebook: &[f32], distance: Distance, d: Dims) -> Vec<u32> {
    let all = on_each_backend!([out: d.rows], [x, codebook], |b| {
        b.nearest_code(tokens_in(b, out), x, codebook, distance, d)
    });
    let found = all[0].tokens();
    for other in &all[1..] {
        assert_eq!(other.tokens(), found, "{} finds other codes than the CPU", other.name);
    }
    found
}

/// No code may be closer than the one found by more than rounding explains.
fn compare(d: Dims, seed: u64) {
    let x = random(d.rows * d.width, seed);
    let codebook = random(d.codes * d.width, !seed);
    for distance in [Distance::Euclidean, Distance::Angle] {
        let tokens = tokens(&x, &codebook, distance, d);
        for (row, token) in tokens.iter().enumerate() {
            let x = &x[row * d.width..][..d.width];
            let to = |code: usize| distance_of(x, &codebook[code * d.width..][..d.width], distance);
            let least = (0..d.codes).map(to).fold(f64::INFINITY, f64::min);
            assert!(to(*token as usize) <= least + 1e-5, "row {row}: {token} is not the closest");
        }
    }
}

#[test]
fn nearest_codes_at_the_published_width() {
    compare(Dims { rows: 70, codes: 1000, width: 32 }, 1);
}

#[test]
fn code_itself_is_found() {
    let d = Dims { rows: 90, codes: 90, width: 5 };
    let codebook = random(90 * 5, 3);
    let scaled: Vec<f32> = codebook.iter().map(|x| 0.25 * x).collect();
    let itself: Vec<u32> = (0..90).collect();
    assert_eq!(tokens(&codebook, &codebook, Distance::Euclidean, d), itself);
    assert_eq!(tokens(&scaled, &codebook, Distance::Angle, d), itself);
}

#[test]
fn first_of_equals_wins() {
    let d = Dims { rows: 1, codes: 40, width: 2 };
    for (first, second) in [(3, 19), (7, 38), (18, 21), (0, 1)] {
        let mut codebook = vec![-1.0; 80];
        for code in [first, second] {
            codebook[2 * code..][..2].fill(1.0);
        }
        for distance in [Distance::Euclidean, Distance::Angle] {
            assert_eq!(tokens(&[1.0, 1.0], &codebook, distance, d), [first as u32]);
        }
    }
}

#[test]
fn features_without_a_comparable_code_take_the_first() {
    let d = Dims { rows: 2, codes: 3, width: 2 };
    let x = [0.0, 0.0, f32::NAN, 1.0];
    assert_eq!(tokens(&x, &[0.0; 6], Distance::Angle, d), [0, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn nearest_code_matches_naive_at_any_sizes(rows in 0_usize..80, codes in 1_usize..60, width in 1_usize..40, seed: u64) {
        compare(Dims { rows, codes, width }, seed);
    }
}
