//! Initial weights: their deviations and means, and that they depend on the seed alone.

use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::model::{Ladder, VarConfig, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;

use super::*;
use crate::model::weights::{transformer_tensors, vqvae_tensors};

const DEPTH: usize = 3;
const WIDTH: usize = 64;

fn config(shared_modulation: bool) -> VarConfig {
    VarConfig {
        depth: DEPTH,
        width: WIDTH,
        heads: 2,
        hidden: 4 * WIDTH,
        classes: 30,
        codes: 100,
        latent: 8,
        ladder: Ladder::new(&[1, 2, 3]).unwrap(),
        unit_length: true,
        shared_modulation,
    }
}

/// Tensors of a transformer by name.
fn drawn(config: &VarConfig, with: Initialization, seed: u64) -> Vec<(String, Vec<f32>)> {
    let layout = ParameterLayout::new(transformer_tensors(*config));
    let mut weights = vec![f32::NAN; layout.floats()];
    transformer(&mut weights, &layout, config, with, seed);
    let tensors = layout.tensors().iter();
    tensors.map(|tensor| (tensor.name.clone(), weights[tensor.range.clone()].to_vec())).collect()
}

fn tensor<'t>(all: &'t [(String, Vec<f32>)], name: &str) -> &'t [f32] {
    &all.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no {name}")).1
}

/// Fails unless `values` are normal with mean 0 and this deviation, within 5 standard errors.
#[track_caller]
fn assert_normal(name: &str, values: &[f32], deviation: f64) {
    let count = values.len() as f64;
    let moment = |power| values.iter().map(|x| f64::from(*x).powi(power)).sum::<f64>() / count;
    let mean = moment(1);
    assert!(mean.abs() <= 5.0 * deviation / count.sqrt(), "{name}: mean {mean}, σ {deviation}");
    let found = moment(2).sqrt();
    let error = 5.0 * deviation / (2.0 * count).sqrt();
    assert!((found - deviation).abs() <= error, "{name}: σ {found}, want {deviation} ± {error}");
    // Of a normal distribution 4.55 % lie beyond two deviations, of a uniform one none.
    let beyond = values.iter().filter(|x| f64::from(**x).abs() > 2.0 * deviation).count() as f64;
    let error = 5.0 * (0.0455 * 0.9545 / count).sqrt();
    assert!((beyond / count - 0.0455).abs() <= error, "{name}: {beyond} of {count} beyond 2 σ");
}

/// The deviation of each part of a tensor: `(numbers, σ)`; σ is 0 for constants.
fn deviations(name: &str, length: usize, with: Initialization) -> Vec<(usize, f64)> {
    let wide = match with.deviation {
        below if below < 0.0 => 1.0 / (3.0 * WIDTH as f64).sqrt(),
        given => given,
    };
    let [head, modulation, gates] = [with.head, with.modulation, with.gates].map(f64::from);
    let (of_gates, of_shared_gates) = (2 * WIDTH * WIDTH, 2 * WIDTH);
    if name.ends_with("bias") || name.contains("scale_mul") {
        vec![(length, 0.0)]
    } else if name == "head.weight" {
        vec![(length, wide * head)]
    } else if name == "head_nm.ada_lin.1.weight" {
        vec![(length, wide * modulation)]
    } else if name.ends_with("proj.weight") || name.ends_with("fc2.weight") {
        vec![(length, wide / (2.0 * DEPTH as f64).sqrt())]
    } else if name.contains("ada_gss") {
        let each = 1.0 / (WIDTH as f64).sqrt();
        vec![(of_shared_gates, each * gates), (length - of_shared_gates, each * modulation)]
    } else if name.starts_with("blocks.") && name.ends_with("ada_lin.1.weight") {
        vec![(of_gates, wide * gates), (length - of_gates, wide * modulation)]
    } else {
        vec![(length, wide)]
    }
}

#[test]
fn transformer_weights_have_the_published_deviations() {
    let other = Initialization { deviation: 0.1, head: 3.0, modulation: 0.25, gates: 0.01 };
    for (shared, with) in
        [(false, Initialization::default()), (true, Initialization::default()), (false, other)]
    {
        for (name, values) in drawn(&config(shared), with, 7) {
            let mut start = 0;
            for (length, deviation) in deviations(&name, values.len(), with) {
                let part = &values[start..start + length];
                start += length;
                if deviation > 0.0 {
                    assert_normal(&name, part, deviation);
                } else {
                    let constant = if name.contains("scale_mul") { 4.0_f32.ln() } else { 0.0 };
                    assert!(part.iter().all(|x| *x == constant), "{name}: {part:?}");
                }
            }
            assert_eq!(start, values.len(), "{name}");
        }
    }
}

#[test]
fn transformer_weights_depend_on_the_seed_and_their_tensor() {
    let (config, with) = (config(false), Initialization::default());
    let first = drawn(&config, with, 7);
    assert!(first == drawn(&config, with, 7), "the same seed gives other weights");
    let other = drawn(&config, with, 8);
    let random =
        |(name, _): &&(String, Vec<f32>)| !name.ends_with("bias") && !name.contains("scale_mul");
    // Standardized by the first number: two tensors that share their draws differ by a factor only.
    let pattern = |values: &[f32]| values[..8].iter().map(|x| x / values[0]).collect::<Vec<_>>();
    let mut patterns: Vec<(&str, Vec<f32>)> = Vec::new();
    for (name, values) in first.iter().chain(&other).filter(random) {
        let pattern = pattern(values);
        for (of, known) in &patterns {
            let same = known.iter().zip(&pattern).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(!same, "{name} has the numbers of {of}");
        }
        patterns.push((name, pattern));
    }
    // The stream itself: other numbers would make every seeded run another one.
    let got = tensor(&drawn(&config, with, 0), "word_embed.weight")[..3].to_vec();
    for (got, want) in got.iter().zip([0.064_111_02, -0.018_518_459, 0.151_693_84_f32]) {
        assert!((got - want).abs() < 1e-7, "{got}, want {want}");
    }
    // Behind the gates' two rows, standard normal numbers times 0.5 / √64.
    let shared = drawn(&self::config(true), with, 0);
    for (got, want) in
        tensor(&shared, "blocks.0.ada_gss")[128..].iter().zip([0.015_964_437, 0.010_660_081_f32])
    {
        assert!((got - want).abs() < 1e-7, "{got}, want {want}");
    }
}

#[test]
fn transformer_weights_are_cut_at_two() {
    let with = Initialization { deviation: 1.5, ..Initialization::default() };
    let all = drawn(&config(false), with, 3);
    let values = tensor(&all, "word_embed.weight");
    let most = values.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    assert!((1.5..=2.0).contains(&most), "{most}");
    // Drawn anew, not moved to the edge: a normal cut at 4/3 σ has the deviation 0.683 σ.
    assert!(values.iter().filter(|x| x.abs() > 1.999).count() < 5);
    let square = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / values.len() as f64;
    assert!((square.sqrt() / 1.5 - 0.683).abs() < 0.06, "{}", square.sqrt() / 1.5);
}

#[test]
fn vqvae_weights_have_their_deviations() {
    let config = VqvaeConfig {
        codes: 512,
        latent: 8,
        channels: 32,
        multipliers: ChannelMultipliers::new(&[1, 2]).unwrap(),
        encoder_blocks: 1,
        decoder_blocks: 2,
        ladder: Ladder::new(&[1, 2, 4]).unwrap(),
        refinement: Refinement::Shared,
        refinement_ratio: 0.5,
        distance: Distance::Euclidean,
    };
    let layout = ParameterLayout::new(vqvae_tensors(config));
    let draw = |gain, seed| {
        let mut weights = vec![f32::NAN; layout.floats()];
        convolutional(&mut weights, &layout, gain, seed);
        weights
    };
    let weights = draw(0.5, 7);
    let numbers = |weights: &[f32]| -> Vec<f32> {
        layout.tensors().iter().flat_map(|tensor| weights[tensor.range.clone()].to_vec()).collect()
    };
    assert!(numbers(&weights) == numbers(&draw(0.5, 7)));
    for tensor in layout.tensors() {
        let (name, values) = (&tensor.name, &weights[tensor.range.clone()]);
        match tensor.shape[..] {
            [outer, inner, height, width] => {
                let fans = (outer + inner) * height * width;
                assert_normal(name, values, 0.5 * (2.0 / fans as f64).sqrt());
                let other = &draw(0.5, 8)[tensor.range.clone()];
                assert!(values != other, "{name}: the same for another seed");
            }
            [_, latent] => {
                let reach = 1.0 / (36.0 * (latent as f64).sqrt());
                let most = values.iter().fold(0.0, |most, x| f64::max(most, f64::from(x.abs())));
                assert!(most <= reach * 1.000_001 && most > 0.99 * reach, "{name}: {most}");
                let square = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
                let deviation = (square / values.len() as f64).sqrt() / reach;
                // A uniform distribution in ±1 has the deviation 1/√3.
                assert!((deviation - 3.0_f64.sqrt().recip()).abs() < 0.02, "{name}: {deviation}");
            }
            _ => {
                let constant = if name.ends_with("bias") { 0.0 } else { 1.0 };
                assert!(values.iter().all(|x| *x == constant), "{name}");
            }
        }
    }
}
