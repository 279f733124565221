//! Draws against the definition, and their independence of batch and threads.

use std::vec;
use std::vec::Vec;

use super::{Dims, Draw, Mixture, Settings};
use crate::ops::testing::{assert_close, on_each_cpu, random};
use crate::sample::random::Philox;
use crate::sample::{Filter, Source, gumbel};

const D: Dims = Dims { images: 2, positions: 3, codes: 37 };

fn settings(source: Source<'_>) -> Settings<'_> {
    let filter = Filter { top_k: 0, top_p: 0.0 };
    Settings { guidance: 0.0, filter, source, scale: 2, indices: &[10, 11] }
}

fn tokens(logits: &[f32], unconditional: Option<&[f32]>, settings: &Settings<'_>) -> Vec<u32> {
    let rows = D.images * D.positions;
    let drawn = on_each_cpu(rows, |cpu, out| {
        let mut tokens = vec![u32::MAX; rows];
        let Ok(()) = cpu.draw(&mut tokens, None, logits, unconditional, settings, D);
        for (out, token) in out.iter_mut().zip(&tokens) {
            *out = *token as f32;
        }
    });
    drawn.iter().map(|token| *token as u32).collect()
}

#[test]
fn a_seed_draws_with_its_own_number_for_each_cell() {
    let logits: Vec<f32> = random(6 * 37, 1).iter().map(|x| 3.0 * x).collect();
    for (row, token) in tokens(&logits, None, &settings(Source::Seed(42))).iter().enumerate() {
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
fn given_numbers_are_read_in_order_of_cells() {
    let drawn =
        tokens(&[0.0; 6 * 37], None, &settings(Source::Given(&[0.0, 0.0, 0.0, 0.0, 0.5, 0.0])));
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
    let guided = Settings { guidance: 1.0, ..settings(Source::Greedy) };
    assert_eq!(tokens(&logits, None, &guided), [5; 6]);
    assert_eq!(tokens(&logits, Some(&unconditional), &guided), [9; 6]);
}

#[test]
fn a_mixture_follows_its_formula() {
    let (width, ratio) = (5, 0.25);
    let (logits, codebook) = (random(6 * 37, 1), random(37 * width, 2));
    let settings = settings(Source::Seed(3));
    let got = on_each_cpu(6 * width, |cpu, out| {
        let mixture = Mixture { out, codebook: &codebook[..], ratio };
        let Ok(()) = cpu.draw(&mut [0; 6], Some(mixture), &logits, None, &settings, D);
    });
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
    assert_close(&got, &want, 2e-5);
}
