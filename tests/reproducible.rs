//! Batches, threads and instruction sets do not change a byte; a run can be watched and stopped.

use core::ops::ControlFlow;

use var_kernel::arena::Arena;
use var_kernel::cpu::{Cpu, Isa};
use var_kernel::generate::{ForcedTokens, Outcome, Request, Steps, generate};
use var_kernel::model::Model;
use var_kernel::sample::{Filter, UniformSource};

use crate::support::{Golden, GoldenModel, with_cpu, working_memory};

/// Output of a run: tokens of each image, image of each image.
type Run = (Vec<u32>, Vec<f32>);

fn request<'a>(labels: &'a [u32], indices: &'a [u32]) -> Request<'a> {
    Request {
        labels,
        indices,
        cfg: 2.0,
        temperature: 1.0,
        filter: Filter { top_k: 30, top_p: 0.95 },
        more_smooth: false,
        source: UniformSource::Seed(11),
        keep: None,
    }
}

fn run<'c>(cpu: &Cpu<'c>, model: &Model<'_, '_, Cpu<'c>>, request: &Request<'_>) -> Run {
    let mut memory = working_memory(64);
    let images = request.labels.len();
    let mut tokens = vec![u32::MAX; images * model.vqvae.config.ladder.length()];
    let mut pictures = vec![f32::NAN; model.vqvae.images_len(images)];
    let mut arena = Arena::new(&mut memory[..]);
    let Ok(outcome) =
        generate(cpu, model, request, &mut tokens, &mut pictures, &mut arena, &mut |_| {
            ControlFlow::Continue(())
        });
    assert_eq!(outcome, Outcome::Done);
    (tokens, pictures)
}

fn tiny() -> GoldenModel {
    GoldenModel::of(&Golden::open("tiny.safetensors"))
}

#[test]
fn every_instruction_set_and_number_of_threads_gives_the_same_bytes() {
    let model = tiny();
    for more_smooth in [false, true] {
        let request = Request { more_smooth, ..request(&[3, 7], &[0, 1]) };
        let mut first: Option<Run> = None;
        for isa in Isa::all() {
            for threads in [1, 2, 3] {
                let got =
                    with_cpu(threads, isa, |cpu| model.on(cpu, |model| run(cpu, model, &request)));
                match &first {
                    None => first = Some(got),
                    Some(first) => assert!(*first == got, "{isa:?} on {threads} threads differs"),
                }
            }
        }
    }
}

#[test]
fn steps_have_the_bytes_of_a_whole_run_and_may_be_dropped_after_any_scale() {
    let model = tiny();
    model.with(|cpu, model| {
        let request = request(&[3, 7], &[0, 1]);
        let mut memory = working_memory(64);
        let length = model.vqvae.images_len(1);
        let mut watched = Vec::new();
        let mut tokens = vec![0; 2 * model.vqvae.config.ladder.length()];
        let mut pictures = vec![0.0_f32; 2 * length];
        let arena = &mut Arena::new(&mut memory[..]);
        let Ok(_) =
            generate(cpu, model, &request, &mut tokens, &mut pictures, arena, &mut |step| {
                let mut picture = vec![0.0_f32; length];
                let Ok(()) = step.picture(&mut picture, 1);
                watched.push((step.tokens.to_vec(), picture));
                ControlFlow::Continue(())
            });
        for stop in 0..=watched.len() {
            let Ok(mut steps) = Steps::new(cpu, model, &request, arena);
            for (scale, (tokens, picture)) in watched[..stop].iter().enumerate() {
                let Ok(progress) = steps.step();
                let mut progress = progress.expect("a scale is left");
                let mut own = vec![0.0_f32; length];
                let Ok(()) = progress.picture(&mut own, 1);
                assert_eq!(progress.scale, scale);
                assert!(*progress.tokens == tokens[..] && own == *picture, "scale {scale}");
            }
            assert_eq!(steps.scales_drawn(), stop);
            if stop < watched.len() {
                continue;
            }
            assert!(matches!(steps.step(), Ok(None)));
            let (mut own_tokens, mut own) = (tokens.clone(), vec![0.0_f32; 2 * length]);
            own_tokens.fill(0);
            let Ok(()) = steps.finish(&mut own_tokens, &mut own);
            assert!(own_tokens == tokens && own == pictures);
        }
    });
}

#[test]
fn image_does_not_depend_on_others_of_its_class() {
    let model = tiny();
    model.with(|cpu, model| {
        let length = model.vqvae.config.ladder.length();
        let pictures = model.vqvae.images_len(1);
        let (labels, indices) = ([3, 3, 7, 3], [5, 9, 2, 1]);
        for cfg in [0.0, 2.0] {
            let batch = run(cpu, model, &Request { cfg, ..request(&labels, &indices) });
            for number in 0..labels.len() {
                let (label, index) = (&labels[number..=number], &indices[number..=number]);
                let alone = run(cpu, model, &Request { cfg, ..request(label, index) });
                // Scale by scale, and within a scale image by image.
                let ladder = model.vqvae.config.ladder;
                let of_image: Vec<u32> = (0..ladder.scales())
                    .flat_map(|scale| {
                        let range = ladder.range(scale);
                        let start = labels.len() * range.start + number * range.len();
                        batch.0[start..start + range.len()].to_vec()
                    })
                    .collect();
                assert_eq!(of_image.len(), length);
                assert!(of_image == alone.0, "cfg {cfg}, image {number}: other tokens");
                let own = &batch.1[number * pictures..(number + 1) * pictures];
                assert!(*own == alone.1[..], "cfg {cfg}, image {number}: another image");
            }
        }
    });
}

#[test]
fn image_does_not_depend_on_its_batch() {
    let model = tiny();
    model.with(|cpu, model| {
        let ladder = model.vqvae.config.ladder;
        let (labels, indices) = ([3, 7, 0], [5, 9, 2]);
        let (tokens, pictures) = run(cpu, model, &request(&labels, &indices));
        for image in 0..3 {
            let (labels, indices) = (&labels[image..=image], &indices[image..=image]);
            let (alone, picture) = run(cpu, model, &request(labels, indices));
            for scale in 0..ladder.scales() {
                let range = ladder.range(scale);
                let start = 3 * range.start + image * range.len();
                assert_eq!(tokens[start..start + range.len()], alone[range]);
            }
            assert!(pictures[image * picture.len()..][..picture.len()] == picture);
        }
    });
}

#[test]
fn seed_and_an_index_are_a_picture_of_their_own() {
    tiny().with(|cpu, model| {
        let of = |seed, index: u32| {
            let indices = [index];
            let request = Request { source: UniformSource::Seed(seed), ..request(&[3], &indices) };
            run(cpu, model, &request).0
        };
        assert_ne!(of(1, 0), of(1, 1));
        assert_ne!(of(1, 0), of(2, 0));
        assert_eq!(of(1, 1), of(1, 1));
    });
}

#[test]
fn callback_sees_the_picture_so_far_and_can_stop_the_run() {
    tiny().with(|cpu, model| {
        let request = request(&[3, 7], &[0, 1]);
        let (_, pictures) = run(cpu, model, &request);
        let length = model.vqvae.images_len(1);
        let mut memory = working_memory(64);
        let mut tokens = vec![u32::MAX; 2 * model.vqvae.config.ladder.length()];
        let mut seen = Vec::new();
        for last in [3, 1] {
            let mut arena = Arena::new(&mut memory[..]);
            let mut picture = vec![f32::NAN; length];
            let Ok(outcome) = generate(
                cpu,
                model,
                &request,
                &mut tokens,
                &mut [0.0; 0],
                &mut arena,
                &mut |progress| {
                    let Ok(()) = progress.picture(&mut picture, 1);
                    seen.push(progress.scale);
                    if progress.scale == last {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            );
            assert_eq!(outcome, Outcome::StoppedAfter(last));
            assert_eq!(picture == pictures[length..], last == 3);
        }
        assert_eq!(seen, [0, 1, 2, 3, 0, 1]);
    });
}

#[test]
fn run_goes_on_from_the_first_scales_of_another() {
    tiny().with(|cpu, model| {
        let ladder = model.vqvae.config.ladder;
        let whole = run(cpu, model, &request(&[3, 7], &[0, 1]));
        for scales in 1..=ladder.scales() {
            let end = ladder.range(scales - 1).end;
            let cells: Vec<bool> = (0..ladder.length()).map(|cell| cell < end).collect();
            // Tokens behind the given scales must not matter.
            let mut tokens = whole.0.clone();
            tokens[2 * end..].fill(0);
            let keep = Some(ForcedTokens { tokens: &tokens, cells: &cells });
            assert!(run(cpu, model, &Request { keep, ..request(&[3, 7], &[0, 1]) }) == whole);
        }
    });
}

#[test]
fn kept_cells_do_not_depend_on_the_batch() {
    tiny().with(|cpu, model| {
        let (ladder, codes) = (model.vqvae.config.ladder, model.vqvae.config.codes);
        let cells: Vec<bool> = (0..ladder.length()).map(|cell| cell % 3 != 0).collect();
        let given = |image: usize, cell: usize| ((7 * cell + 11 * image + 1) % codes) as u32;
        let of = |images: &[usize]| -> Vec<u32> {
            let scales = (0..ladder.scales()).map(|scale| ladder.range(scale));
            let images = |range: core::ops::Range<usize>| {
                images.iter().flat_map(move |image| range.clone().map(move |at| given(*image, at)))
            };
            scales.flat_map(images).collect()
        };
        let (both, second) = (of(&[0, 1]), of(&[1]));
        for more_smooth in [false, true] {
            let keep = |tokens| Some(ForcedTokens { tokens, cells: &cells });
            let alone = request(&[7], &[1]);
            let alone = run(cpu, model, &Request { more_smooth, keep: keep(&second), ..alone });
            let batch = request(&[3, 7], &[0, 1]);
            let batch = run(cpu, model, &Request { more_smooth, keep: keep(&both), ..batch });
            assert!(batch.1[alone.1.len()..] == alone.1[..], "more_smooth: {more_smooth}");
        }
    });
}

#[test]
fn null_class_is_not_asked_without_guidance() {
    tiny().with(|cpu, model| {
        let plain = Request { cfg: 0.0, ..request(&[3, 10], &[0, 1]) };
        let (tokens, _) = run(cpu, model, &plain);
        let alone = Request { cfg: 0.0, ..request(&[10], &[1]) };
        let guided = Request { cfg: 4.0, ..request(&[10], &[1]) };
        // For the null class guidance is the identity, and is left out.
        assert!(run(cpu, model, &alone) == run(cpu, model, &guided));
        assert_eq!(tokens[1], run(cpu, model, &alone).0[0]);
    });
}
