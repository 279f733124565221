//! Single operations = golden files.

use std::collections::BTreeMap;

use var_kernel::cpu::Isa;
use var_kernel::model::quantizer::refinement_of;
use var_kernel::ops::Resize;
use var_kernel::ops::resize::Dims;
use var_kernel::sample::{Filter, filter, gumbel, softmax};

use crate::support::{Golden, assert_close, fixture, sym, to_channels_last, u01, with_cpu};

#[test]
fn generator_of_weights_is_the_fixtures_own() {
    let golden = Golden::open("generator.safetensors");
    assert_eq!(u01("demo", 16), golden.floats("u01[demo]").1);
    assert_eq!(sym("demo", 0.5, 16), golden.floats("sym[demo,0.5]").1);
}

#[test]
fn interpolation() {
    let golden = Golden::open("interpolate.safetensors");
    let inputs: Vec<String> =
        golden.names("").into_iter().filter(|name| name.ends_with(".in")).collect();
    assert_eq!(inputs.len(), 17);
    for input in inputs {
        let name = input.strip_suffix(".in").expect("an input");
        let (shape, _) = golden.floats(&input);
        let (out_shape, out) = golden.floats(&format!("{name}.out"));
        let want = to_channels_last(&out, shape[1], out_shape[2] * out_shape[3]);
        let x = golden.channels_last(&input);
        let size = Dims { batch: shape[0], from: shape[2], to: out_shape[2], channels: shape[1] };
        for isa in Isa::all() {
            let mut got = vec![f32::NAN; want.len()];
            with_cpu(2, isa, |cpu| {
                let Ok(()) = if name.starts_with("area") {
                    cpu.area(&mut got, &x, size)
                } else {
                    cpu.bicubic(&mut got, &x, size)
                };
            });
            assert_close(name, &got, &want, 1e-5);
        }
    }
}

#[test]
fn refinements_serve_the_references_scales() {
    let text = std::fs::read_to_string(fixture("phi_index.json")).expect("the fixture is there");
    let table: BTreeMap<String, Vec<usize>> = serde_json::from_str(&text).expect("JSON");
    assert!(!table.is_empty());
    for (key, want) in table {
        let (ladder, count) = key.split_once("|K=").expect("a ladder and a count");
        let (scales, count) = (ladder.split('_').count(), count.parse().expect("a count"));
        let got: Vec<usize> =
            (0..scales).map(|scale| refinement_of(scale, scales, count)).collect();
        assert_eq!(got, want, "{key}");
    }
}

#[test]
fn sampling_filter() {
    let golden = Golden::open("sampling.safetensors");
    let (shape, logits) = golden.floats("logits");
    for (name, settings) in golden.about.as_object().expect("settings") {
        let want = golden.floats(name).1;
        let settings = Filter {
            top_k: settings["top_k"].as_u64().expect("top_k") as usize,
            top_p: settings["top_p"].as_f64().expect("top_p") as f32,
        };
        let mut got = logits.clone();
        for row in got.chunks_exact_mut(shape[2]) {
            filter(Isa::best(), row, settings, &mut vec![0.0; shape[2]]);
            softmax::softmax(Isa::best(), row);
        }
        let rows = logits.chunks_exact(shape[2]);
        for ((logits, got), want) in
            rows.zip(got.chunks_exact(shape[2])).zip(want.chunks_exact(shape[2]))
        {
            let (got, want) = (by_logit(logits, got), by_logit(logits, want));
            assert_close(name, &got, &want, 1e-5);
            assert!(
                got.iter().zip(&want).all(|(a, b)| (*a == 0.0) == (*b == 0.0)),
                "{name}: other tokens are kept"
            );
        }
    }
}

/// Probabilities in order of their logits. Which of several equal logits top-p drops is left open:
/// the reference's sort is not stable.
fn by_logit(logits: &[f32], probabilities: &[f32]) -> Vec<f32> {
    let mut pairs: Vec<(f32, f32)> =
        logits.iter().copied().zip(probabilities.iter().copied()).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    pairs.into_iter().map(|(_, probability)| probability).collect()
}

#[test]
fn gumbel_embedding() {
    let golden = Golden::open("sampling.safetensors");
    let (shape, logits) = golden.floats("logits");
    let (codes, (code_shape, codebook)) = (shape[2], golden.floats("gumbel.codebook"));
    let exponential = golden.floats("gumbel.exponential").1;
    for ratio in ["0.0", "0.5", "1.0"] {
        let want = golden.floats(&format!("gumbel.embedding.ratio{ratio}")).1;
        let ratio: f64 = ratio.parse().expect("a ratio");
        let mut got = Vec::new();
        for (row, exponential) in logits.chunks_exact(codes).zip(exponential.chunks_exact(codes)) {
            let mut weights = row.to_vec();
            gumbel::soften(Isa::best(), &mut weights, ratio, |code| {
                gumbel::of_exponential(f64::from(exponential[code]))
            });
            for channel in 0..code_shape[1] {
                let parts = weights.iter().zip(codebook.chunks_exact(code_shape[1]));
                got.push(parts.map(|(weight, code)| weight * code[channel]).sum());
            }
        }
        assert_close("embedding", &got, &want, 1e-5);
    }
}
