//! Small whole models, every stage = golden files.

use core::ops::ControlFlow;

use var_kernel::arena::Arena;
use var_kernel::generate::{Outcome, Request, generate};
use var_kernel::sample::{Filter, UniformSource, guidance};
use var_kernel::score;

use crate::support::{
    Golden, GoldenModel, assert_close, scale_major, to_channels_last, u01, vqvae_config,
    with_vqvae, working_memory,
};

const FILES: [&str; 2] = ["tiny.safetensors", "tiny_shared_adaln.safetensors"];

#[test]
fn pictures_become_the_golden_latents_and_tokens() {
    for file in FILES {
        let golden = Golden::open(file);
        let model = GoldenModel::of(&golden);
        let pictures = golden.channels_last("vae.image");
        let (want, latent) = (golden.channels_last("vae.latent"), model.vae.latent);
        let tokens = scale_major(&golden.integers("vae.tokens"), 1, &model.vae.ladder);
        model.with(|cpu, model| {
            let (mut memory, vqvae) = (working_memory(64), &model.vqvae);
            let mut arena = Arena::new(&mut memory[..]);
            let latents = arena.take(want.len());
            let Ok(()) = vqvae.encode(cpu, latents, &pictures, &mut arena);
            assert_close("latent", latents, &want, 2e-4);
            let mut got = vec![u32::MAX; tokens.len()];
            let Ok(()) = vqvae.quantizer.encode(cpu, &mut got, latents, &mut arena);
            assert_eq!(got, tokens, "{file}: tokens");

            let fhat = arena.take(want.len());
            let input = arena.take(want.len());
            let ladder = &vqvae.config.ladder;
            let teacher = golden.floats("vae.teacher_input").1;
            let first = ladder.cells(0);
            let Ok(()) =
                vqvae.quantizer.decode(cpu, fhat, &tokens, &mut arena, |scale, fhat, arena| {
                    let want = golden.channels_last(&format!("vae.fhat.{scale}"));
                    assert_close("fhat", fhat, &want, 2e-4);
                    let mut picture = vec![f32::NAN; pictures.len()];
                    vqvae.decode(cpu, &mut picture, fhat, arena)?;
                    let clamped: Vec<f32> = picture.iter().map(|x| x.clamp(-1.0, 1.0)).collect();
                    let (shape, values) = golden.floats("vae.reconstruction_per_scale");
                    let per_scale = values.len() / shape[0];
                    let planes = &values[scale * per_scale..][..per_scale];
                    let want = to_channels_last(planes, shape[2], shape[3] * shape[4]);
                    assert_close("reconstruction per scale", &clamped, &want, 2e-4);
                    if scale + 1 < ladder.scales() {
                        let range = ladder.range(scale + 1);
                        let input = &mut input[..2 * range.len() * latent];
                        vqvae.quantizer.next_input(cpu, input, fhat, scale + 1)?;
                        let rows = teacher.len() / 2;
                        for (image, got) in input.chunks_exact(range.len() * latent).enumerate() {
                            let start = image * rows + (range.start - first) * latent;
                            assert_close(
                                "teacher input",
                                got,
                                &teacher[start..][..got.len()],
                                2e-4,
                            );
                        }
                    } else {
                        let want = golden.channels_last("vae.reconstruction");
                        assert_close("reconstruction", &clamped, &want, 2e-4);
                    }
                    Ok(())
                });
        });
    }
}

#[test]
fn teacher_forced_logits() {
    for file in FILES {
        let golden = Golden::open(file);
        let model = GoldenModel::of(&golden);
        let (tokens, labels) = (golden.integers("vae.tokens"), golden.integers("var.labels"));
        let null = model.var.null_class();
        model.with(|cpu, model| {
            let (length, codes) =
                (model.transformer.config.ladder.length(), model.vqvae.config.codes);
            let mut memory = working_memory(64);
            let mut arena = Arena::new(&mut memory[..]);
            for (name, of) in [
                (
                    "var.logits_teacher_forced",
                    &(|image: usize| labels[image]) as &dyn Fn(usize) -> u32,
                ),
                ("var.logits_teacher_forced_null", &|_| null),
            ] {
                let want = golden.floats(name).1;
                for image in 0..labels.len() {
                    let mut got = vec![f32::NAN; length * codes];
                    let tokens = &tokens[image * length..][..length];
                    let Ok(()) =
                        score::teacher_forced(cpu, model, &mut got, tokens, of(image), &mut arena);
                    assert_close(name, &got, &want[image * got.len()..][..got.len()], 5e-4);
                }
            }
        });
    }
}

/// Tokens and images of one golden run.
fn assert_run(golden: &Golden, model: &GoldenModel, name: &str, request: &Request<'_>) {
    let ladder = model.var.ladder;
    let want = scale_major(&golden.integers(&format!("{name}.tokens")), 1, &ladder);
    let want_pictures = golden.channels_last(&format!("{name}.image"));
    model.with(|cpu, model| {
        let mut memory = working_memory(64);
        let mut tokens = vec![u32::MAX; want.len()];
        // The reference gives images as (x + 1) / 2.
        let mut pictures = vec![f32::NAN; want_pictures.len()];
        let mut scales = Vec::new();
        let Ok(outcome) = generate(
            cpu,
            model,
            request,
            &mut tokens,
            &mut pictures,
            &mut Arena::new(&mut memory[..]),
            &mut |progress| {
                scales.push((progress.scale, progress.tokens.to_vec()));
                ControlFlow::Continue(())
            },
        );
        assert_eq!(outcome, Outcome::Done);
        assert_eq!(tokens, want, "{name}: tokens");
        assert_eq!(scales.len(), ladder.scales());
        let seen: Vec<u32> = scales.into_iter().flat_map(|(_, tokens)| tokens).collect();
        assert_eq!(seen, want, "{name}: what the callback saw");
        let shown: Vec<f32> = pictures.iter().map(|x| (x.clamp(-1.0, 1.0) + 1.0) * 0.5).collect();
        assert_close(name, &shown, &want_pictures, 1e-3);
    });
}

#[test]
fn greedy_sampling() {
    for file in FILES {
        let golden = Golden::open(file);
        let model = GoldenModel::of(&golden);
        let labels = golden.integers("var.greedy.labels");
        let cfg = golden.about["greedy_cfg"].as_f64().expect("cfg") as f32;
        let request = Request {
            labels: &labels,
            indices: &[0, 1],
            cfg,
            temperature: 1.0,
            filter: Filter { top_k: 0, top_p: 0.0 },
            more_smooth: false,
            source: UniformSource::Greedy,
            keep: None,
        };
        assert_run(&golden, &model, "var.greedy", &request);

        // The logits after guidance, with the greedy tokens forced.
        let want = golden.floats("var.greedy.guided_logits").1;
        let tokens = golden.integers("var.greedy.tokens");
        let (ladder, codes, null) = (model.var.ladder, model.var.codes, model.var.null_class());
        model.with(|cpu, model| {
            let mut memory = working_memory(64);
            let mut arena = Arena::new(&mut memory[..]);
            for (image, label) in labels.iter().enumerate() {
                let tokens = &tokens[image * ladder.length()..][..ladder.length()];
                let mut logits = |label| {
                    let mut logits = vec![f32::NAN; ladder.length() * codes];
                    let Ok(()) =
                        score::teacher_forced(cpu, model, &mut logits, tokens, label, &mut arena);
                    logits
                };
                let (mut got, without) = (logits(*label), logits(null));
                for scale in 0..ladder.scales() {
                    let range = ladder.range(scale);
                    let cells = range.start * codes..range.end * codes;
                    let strength = guidance::strength(cfg, scale, ladder.scales());
                    guidance::guide(&mut got[cells.clone()], &without[cells], strength);
                }
                assert_close("guided", &got, &want[image * got.len()..][..got.len()], 4e-3);
            }
        });
    }
}

#[test]
fn sampling_by_given_numbers() {
    for file in FILES {
        let golden = Golden::open(file);
        let model = GoldenModel::of(&golden);
        for run in 0..3 {
            let name = format!("sampled.{run}");
            let about = &golden.about[&name];
            let labels: Vec<u32> = (about["labels"].as_array().expect("labels").iter())
                .map(|label| label.as_u64().expect("a label") as u32)
                .collect();
            let stem = about["uniforms"].as_str().expect("a name");
            let stem = stem.split('\'').nth(1).and_then(|name| name.strip_suffix("<scale>"));
            let stem = stem.expect("a name with a place for the scale");
            let numbers: Vec<f32> = (0..model.var.ladder.scales())
                .flat_map(|scale| {
                    u01(&format!("{stem}{scale}"), labels.len() * model.var.ladder.cells(scale))
                })
                .collect();
            let request = Request {
                labels: &labels,
                indices: &[0, 1],
                cfg: about["cfg"].as_f64().expect("cfg") as f32,
                temperature: 1.0,
                filter: Filter {
                    top_k: about["top_k"].as_u64().expect("top_k") as usize,
                    top_p: about["top_p"].as_f64().expect("top_p") as f32,
                },
                more_smooth: false,
                source: UniformSource::Given(&numbers),
                keep: None,
            };
            assert_run(&golden, &model, &format!("var.{name}"), &request);
        }
    }
}

#[test]
fn quantizer_with_a_refinement_for_each_scale_and_codes_by_angle() {
    let golden = Golden::open("quantizer_nonshared_znorm.safetensors");
    let config = vqvae_config(&golden.about["vae"]);
    let latents = golden.channels_last("f");
    let tokens = scale_major(&golden.integers("tokens"), 1, &config.ladder);
    with_vqvae("nonshared_znorm.vae.", config, |cpu, vqvae| {
        let mut memory = working_memory(16);
        let mut arena = Arena::new(&mut memory[..]);
        let mut got = vec![u32::MAX; tokens.len()];
        let Ok(()) = vqvae.quantizer.encode(cpu, &mut got, &latents, &mut arena);
        assert_eq!(got, tokens);
        let fhat = arena.take(latents.len());
        let Ok(()) = vqvae.quantizer.decode(cpu, fhat, &tokens, &mut arena, |_, _, _| Ok(()));
        assert_close("fhat", fhat, &golden.channels_last("fhat"), 2e-4);
    });
}
