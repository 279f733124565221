//! Draws against the definition, and their independence of batch and threads.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Dims, Mixture, NO_TOKEN, SampleSettings, SampleTokens};
use crate::ops::testing::{on_each_backend, random, tokens_in};
use crate::sample::random::Philox;
use crate::sample::{Filter, UniformSource, gumbel};

const D: Dims = Dims { images: 2, positions: 3, codes: 37 };

fn settings(source: UniformSource<'_>) -> SampleSettings<'_> {
    let filter = Filter { top_k: 0, top_p: 0.0 };
    SampleSettings { guidance: 0.0, temperature: 1.0, filter, source, scale: 2, indices: &[10, 11] }
}

/// Tokens drawn by every backend, all equal.
fn tokens(
    logits: &[f32],
    unconditional: Option<&[f32]>,
    settings: &SampleSettings<'_>,
    d: Dims,
) -> Vec<u32> {
    let (logits, other) = (logits.to_vec(), unconditional.unwrap_or(&[0.0]).to_vec());
    let guided = unconditional.is_some();
    let all = on_each_backend!([out: d.images * d.positions], [logits, other], |b| {
        let tokens = tokens_in(b, out);
        b.sample_tokens(tokens, None, logits, guided.then_some(other), settings, d)
    });
    let drawn = all[0].tokens();
    for other in &all[1..] {
        assert_eq!(other.tokens(), drawn, "{} draws otherwise than the CPU", other.name);
    }
    drawn
}

#[test]
fn seed_draws_with_its_own_number_for_each_cell() {
    let logits: Vec<f32> = random(6 * 37, 1).iter().map(|x| 3.0 * x).collect();
    for (row, token) in
        tokens(&logits, None, &settings(UniformSource::Seed(42)), D).iter().enumerate()
    {
        let (image, position) = (10 + row as u32 / 3, row as u32 % 3);
        let u = f64::from(Philox::new(42).token(image, 2, position));
        let weights: Vec<f64> =
            logits[row * 37..][..37].iter().map(|x| f64::from(*x).exp()).collect();
        let total: f64 = weights.iter().sum();
        let below: f64 = weights[..*token as usize].iter().sum();
        assert!(below <= u * total + 1e-6 * total);
        assert!(below + weights[*token as usize] > u * total - 1e-6 * total);
    }
}

#[test]
fn temperature_draws_as_logits_divided_by_it() {
    let logits: Vec<f32> = random(6 * 37, 1).iter().map(|x| 3.0 * x).collect();
    for (seed, temperature) in [(1, 0.25_f32), (2, 0.5), (3, 4.0)] {
        let settings = settings(UniformSource::Seed(seed));
        let divided: Vec<f32> = logits.iter().map(|logit| logit / temperature).collect();
        let want = tokens(&divided, None, &settings, D);
        let warm = SampleSettings { temperature, ..settings };
        assert_eq!(tokens(&logits, None, &warm, D), want, "{temperature}");
    }
    // Near 0 the likeliest is drawn; at 100 others are.
    let greedy = tokens(&logits, None, &settings(UniformSource::Greedy), D);
    let at = |temperature| {
        let drawn = SampleSettings { temperature, ..settings(UniformSource::Seed(5)) };
        tokens(&logits, None, &drawn, D)
    };
    assert_eq!(at(1e-3), greedy);
    assert_ne!(at(100.0), greedy);
}

#[test]
fn given_numbers_are_read_in_order_of_cells() {
    let settings = settings(UniformSource::Given(&[0.0, 0.0, 0.0, 0.0, 0.5, 0.0]));
    let drawn = tokens(&[0.0; 6 * 37], None, &settings, D);
    assert_eq!(drawn, [0, 0, 0, 0, 18, 0]);
}

#[test]
fn guidance_moves_away_from_the_unconditional() {
    let (mut logits, mut unconditional) = (vec![0.0; 6 * 37], vec![0.0; 6 * 37]);
    for row in 0..6 {
        logits[row * 37 + 5] = 1.0;
        logits[row * 37 + 9] = 0.9;
        unconditional[row * 37 + 5] = 1.0;
    }
    let guided = SampleSettings { guidance: 1.0, ..settings(UniformSource::Greedy) };
    assert_eq!(tokens(&logits, None, &guided, D), [5; 6]);
    assert_eq!(tokens(&logits, Some(&unconditional), &guided, D), [9; 6]);
}

#[test]
fn mixture_follows_its_formula() {
    let (width, ratio) = (5, 0.25);
    let (logits, codebook) = (random(6 * 37, 1), random(37 * width, 2));
    let settings = settings(UniformSource::Seed(3));
    let temperature = 0.27 * (1.0 - 0.95 * ratio);
    let mut want = Vec::new();
    for row in 0..6 {
        let noise = |code| {
            let (image, position) = (10 + row as u32 / 3, row as u32 % 3);
            f64::from(gumbel::of_uniform(Philox::new(3).noise(image, 2, position, code as u32)))
        };
        let weight = |code: usize| {
            let logit = f64::from(logits[row * 37 + code]);
            ((logit * (1.0 + ratio) + noise(code)) / temperature).exp()
        };
        let total: f64 = (0..37).map(weight).sum();
        for channel in 0..width {
            let of = |code: usize| weight(code) * f64::from(codebook[code * width + channel]);
            want.push((0..37).map(of).sum::<f64>() / total);
        }
    }
    for got in on_each_backend!([out: 6 * width, drawn: 6], [logits, codebook], |b| {
        let mixture = Mixture { out, codebook, ratio };
        b.sample_tokens(tokens_in(b, drawn), Some(mixture), logits, None, &settings, D)
    }) {
        got.part(0..6 * width).assert_as_close(&want, 2e-5);
    }
}

#[test]
fn cell_with_a_logit_that_is_not_finite_has_no_token() {
    let (width, codebook) = (5, random(37 * 5, 2));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut logits = random(6 * 37, 1);
        (logits[36], logits[4 * 37 + 2]) = (bad, bad);
        for (source, filter) in [
            (UniformSource::Greedy, Filter { top_k: 0, top_p: 0.0 }),
            (UniformSource::Seed(3), Filter { top_k: 9, top_p: 0.9 }),
        ] {
            let settings = SampleSettings { filter, ..settings(source) };
            let drawn = tokens(&logits, None, &settings, D);
            let none: Vec<usize> = (0..6).filter(|row| drawn[*row] == NO_TOKEN).collect();
            assert_eq!(none, [0, 4], "{bad}");
            for got in on_each_backend!([out: 6 * width, drawn: 6], [logits, codebook], |b| {
                let mixture = Mixture { out, codebook, ratio: 0.5 };
                b.sample_tokens(tokens_in(b, drawn), Some(mixture), logits, None, &settings, D)
            }) {
                let finite = got.values[..6 * width].chunks(width).map(|row| row[0].is_finite());
                assert!(finite.eq([false, true, true, true, false, true]), "{bad}: {}", got.name);
            }
        }
    }
    // Guidance of finite logits may overflow.
    let huge = vec![f32::MAX; 6 * 37];
    let settings = SampleSettings { guidance: 1.0, ..settings(UniformSource::Greedy) };
    assert_eq!(tokens(&huge, Some(&huge), &settings, D), [NO_TOKEN; 6]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// With few different logits there are ties at every border.
    #[test]
    fn every_filter_draws_alike_on_every_backend(
        codes in 1_usize..700,
        levels in prop::sample::select(&[2.0_f32, 7.0, 1e6][..]),
        size in 0.5_f32..20.0,
        top_k in prop::sample::select(&[0_usize, 1, 2, 30, 900][..]),
        top_p in prop::sample::select(&[0.0_f32, 0.001, 0.3, 0.96, 1.0][..]),
        guidance in 0.0_f32..3.0,
        temperature in prop::sample::select(&[0.01_f32, 0.7, 1.0, 3.0, 100.0][..]),
        seed: u64,
    ) {
        let d = Dims { codes, ..D };
        let of = |seed| -> Vec<f32> {
            let spread = |x: &f32| (levels * x).round() / levels * size;
            random(6 * codes, seed).iter().map(spread).collect()
        };
        let (logits, other) = (of(seed), of(!seed));
        let filter = Filter { top_k, top_p };
        for source in [UniformSource::Seed(seed), UniformSource::Greedy] {
            let settings = SampleSettings { guidance, temperature, filter, ..settings(source) };
            tokens(&logits, Some(&other), &settings, d);
        }
    }
}
