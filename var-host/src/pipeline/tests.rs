use core::ops::ControlFlow;

use tempfile::TempDir;
use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};
use var_kernel::edit::{Painting, Region};

use super::*;
use crate::engine::{EngineError, ForcedBatch, Interrupt};
use crate::images::{Parameters, RgbImage, read_parameters};
use crate::pool::Threads;
use crate::train::Host;
use crate::train::teacher::{FrozenQuantizer, TeacherInputs};

/// A model of 32 × 32 images of clothes in ten classes.
const SMALL: &str = "../fixtures/fashion_reference.safetensors";

fn model() -> Model {
    Model::open(SMALL).unwrap()
}

#[test]
fn sample_gives_the_same_images_for_any_batch_threads_and_start() {
    let options = SampleOptions { seed: 5, ..Default::default() };
    let all = model().sample(&[1, 10, 2], &options).unwrap();
    assert_eq!(all.iter().map(|image| image.index).collect::<Vec<_>>(), [0, 1, 2]);
    let mut other = model().on(Device::cpu().threads(1).isa(Isa::portable()));
    let options = SampleOptions { batch: 1, first_index: 1, ..options };
    let tail = other.sample(&[10, 2], &options).unwrap();
    for (all, tail) in all[1..].iter().zip(&tail) {
        assert_eq!((&all.tokens, &all.picture), (&tail.tokens, &tail.picture));
    }
    let seed = options.seed + (1 << 32);
    let other = other.sample(&[10], &SampleOptions { seed, ..options }).unwrap();
    assert_ne!(other[0].tokens, tail[0].tokens, "all 64 bits of a seed count");
}

#[test]
fn given_tokens_go_with_their_images_with_a_class_and_without() {
    let mut model = model();
    let options = SampleOptions::default();
    let made = model.sample(&[3, 8], &options).unwrap();
    let tokens: Vec<Vec<u32>> = made.into_iter().map(|image| image.tokens).collect();
    let cells = vec![true; tokens[0].len()];
    let given = ForcedBatch { tokens: tokens.clone(), cells };
    let go_on = |_: &mut Step<'_, '_>| ControlFlow::Continue(());
    let parameters = Parameters::new();
    let again = model.draw(&[10, 8], &options, Some(&given), parameters, go_on).unwrap();
    assert!(again.iter().map(|image| &image.tokens).eq(&tokens));
}

#[test]
fn sample_with_shows_every_scale_and_stops() {
    let mut seen = Vec::new();
    let options = SampleOptions { batch: 1, ..Default::default() };
    let images = model().sample_with(&[3, 4], &options, |step| {
        let index = step.indices().next();
        seen.push((index, step.scale, step.picture(0).unwrap()));
        if index == Some(1) && step.scale == 1 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let images = images.unwrap();
    assert_eq!(images.len(), 1, "the second image was stopped");
    let steps: Vec<_> = seen.iter().map(|(index, scale, _)| (index.unwrap(), *scale)).collect();
    assert_eq!(steps, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]);
    assert_eq!(seen[3].2, images[0].picture);
}

#[test]
fn decode_of_a_samples_tokens_is_its_picture() {
    let mut model = model();
    let image = model.sample(&[8], &SampleOptions::default()).unwrap().remove(0);
    assert_eq!(model.decode(&image.tokens).unwrap(), image.picture);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.png");
    image.save_png(&path).unwrap();
    assert_eq!(RgbImage::open(&path).unwrap(), image.picture);
    assert_eq!(read_parameters(&path).unwrap()["class"], "8");
}

#[test]
fn score_is_the_logits_log_softmax_at_the_tokens() {
    let mut model = model();
    let image = model.sample(&[8], &SampleOptions::default()).unwrap().remove(0);
    let tokens = model.encode(&image.picture).unwrap();
    let logits = model.logits(&tokens, 8).unwrap();
    let codes = logits.len() / tokens.len();
    let nats: f64 = logits
        .chunks(codes)
        .zip(&tokens)
        .map(|(row, token)| {
            let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
            f64::from(row[*token as usize]) - sum.ln()
        })
        .sum();
    let score = model.score(&image.picture, &[8]).unwrap()[0];
    assert!((score - nats).abs() < 1e-4 * nats.abs(), "{score} {nats}");
}

#[test]
fn edit_keeps_the_tokens_outside_of_the_box() {
    let mut model = model();
    let image = model.sample(&[8], &SampleOptions::default()).unwrap().remove(0);
    let before = model.encode(&image.picture).unwrap();
    let region = Region { top: 0.0, left: 0.0, bottom: 0.5, right: 1.0 };
    let options = SampleOptions { seed: 9, ..Default::default() };
    let edit = Edit { label: Some(1), ..Edit::from(region) };
    let edited = model.edit(&image.picture, &edit, &options).unwrap();
    // The finest map is 4 × 4: its lower half is kept.
    assert_eq!(edited.tokens[22..], before[22..]);
    assert_ne!(edited.tokens[14..22], before[14..22]);
    let nothing = Region { bottom: 0.0, ..region };
    let error = model.edit(&image.picture, &Edit::from(nothing), &options).unwrap_err();
    assert!(matches!(error, Error::EmptyRegion { side: 4 }), "{error}");
}

#[test]
fn mask_of_a_box_edits_as_the_box_does() {
    let mut model = model();
    let image = model.sample(&[8], &SampleOptions::default()).unwrap().remove(0).picture;
    let side = image.width();
    let region = Region { top: 0.25, left: 0.0, bottom: 0.75, right: 0.5 };
    let options = SampleOptions { seed: 9, ..Default::default() };
    // A mask of twice the side is resized as the image would be.
    for size in [side, 2 * side] {
        let white = |y: usize, x: usize| (size / 4..3 * size / 4).contains(&y) && x < size / 2;
        let rgb = (0..size * size).flat_map(|i| [255 * u8::from(white(i / size, i % size)); 3]);
        let mask = RgbImage::new(size, size, rgb.collect());
        for painting in [Painting::In, Painting::Out] {
            let by_box = Edit { painting, overlay: true, ..Edit::from(region) };
            let by_mask = Edit { part: EditPart::Mask(&mask), ..by_box };
            let [boxed, masked] =
                [by_box, by_mask].map(|edit| model.edit(&image, &edit, &options).unwrap());
            assert_eq!((boxed.tokens, &boxed.picture), (masked.tokens, &masked.picture), "{size}");
        }
    }
    let black = RgbImage::filled(side, side, [0; 3]);
    let error = model.edit(&image, &Edit::with_mask(&black), &options).unwrap_err();
    assert!(matches!(error, Error::EmptyRegion { .. }), "{error}");
}

#[test]
fn overlay_keeps_the_reconstruction_outside_to_the_byte() {
    let mut model = model();
    let image = model.sample(&[8], &SampleOptions::default()).unwrap().remove(0).picture;
    let kept = model.reconstruct(&image).unwrap();
    let (side, half) = (image.width(), image.rgb().len() / 2);
    let top = Region { top: 0.0, left: 0.0, bottom: 0.5, right: 1.0 };
    let edit = Edit { label: Some(1), overlay: true, ..Edit::from(top) };
    let options = SampleOptions { seed: 9, ..Default::default() };
    let edited = model.edit(&image, &edit, &options).unwrap().picture;
    assert_eq!(edited.rgb()[half..], kept.rgb()[half..]);
    let plain = model.edit(&image, &Edit { overlay: false, ..edit }, &options).unwrap().picture;
    assert_eq!(edited.rgb()[..half], plain.rgb()[..half]);
    assert_ne!(edited.rgb()[half..], plain.rgb()[half..], "what is drawn changes {side} columns");
}

#[test]
fn requests_that_cannot_be_served_leave_the_model_usable() {
    let mut model = model();
    let error = model.sample(&[11], &SampleOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Engine(EngineError::Label { has: 11, classes: 10 })), "{error}");
    assert!(model.decode(&[0; 29]).is_err());
    assert!(model.decode(&[512; 30]).is_err());
    model.decode(&[0; 30]).unwrap();
}

#[test]
fn interrupt_ends_a_call_and_leaves_the_model_usable() {
    let mut model = model();
    let whole = model.sample(&[3], &SampleOptions::default()).unwrap();
    let interrupt = Interrupt::default();
    model.set_interrupt(interrupt.clone());
    let outcome = model.sample_with(&[3], &SampleOptions::default(), |step| {
        if step.scale == 1 {
            interrupt.raise();
        }
        ControlFlow::Continue(())
    });
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Engine(EngineError::Interrupted(_))), "{error}");
    assert!(model.encode(&whole[0].picture).is_err());
    model.set_interrupt(Interrupt::default());
    let again = model.sample(&[3], &SampleOptions::default()).unwrap();
    assert_eq!(again[0].picture, whole[0].picture);
}

#[test]
fn latents_are_the_decoders() {
    let mut model = model();
    let tokens = model.sample(&[8], &SampleOptions::default()).unwrap().remove(0).tokens;
    let config = *model.vqvae_config().unwrap();
    let latents = model.latents(&tokens).unwrap();
    assert_eq!(latents.len(), config.ladder.finest().pow(2) * config.latent);
    let weights = crate::model::Weights::open(SMALL.as_ref(), &Default::default()).unwrap();
    let (part, config) = weights.vqvae.as_ref().unwrap();
    let threads = Threads::new(1, SCRATCH_FLOATS).unwrap();
    let cpu = Cpu::new(Isa::best(), &threads);
    let mut quantizer = FrozenQuantizer::<Host>::new(&cpu, part, *config).unwrap();
    let teacher = quantizer.of(&cpu, 0, &tokens).unwrap();
    // The last scale reads the latents of all scales before it, at its own side.
    let before = &teacher[teacher.len() - latents.len()..];
    let differ = latents.iter().zip(before).filter(|(a, b)| a != b).count();
    assert!(differ > latents.len() / 2, "{differ} of {} changed by the last scale", latents.len());
    let near = |scale: f32| {
        let pairs = latents.iter().zip(before);
        pairs.map(|(a, b)| (a - scale * b).powi(2)).sum::<f32>()
    };
    assert!(near(1.0) < near(0.0), "the scales before are most of it");
}

#[test]
fn models_in_memory_and_classes_by_name() {
    let mut model = model();
    let bytes = std::fs::read(SMALL).unwrap();
    let options = SampleOptions::default();
    let label = model.label("ANKLE_boot").unwrap();
    assert_eq!(model.class_names()[label as usize], "ankle boot");
    let here = model.sample(&[label], &options).unwrap().remove(0);
    assert_eq!(here.parameters["class_name"], "ankle boot");
    let copied = Model::from_bytes(&bytes).unwrap().sample(&[label], &options).unwrap().remove(0);
    assert_eq!(here.picture, copied.picture);
    let error = Model::from_bytes(&bytes[..bytes.len() / 2]).err().unwrap();
    assert!(format!("{error:?}").starts_with("the model in memory: "), "{error:?}");
}

#[test]
fn errors_are_sentences_in_debug_too() {
    let error = model().sample(&[207], &SampleOptions::default()).unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("207") && text.contains("10") && !text.contains('{'), "{text}");
    let error = Model::open("there/is/none.safetensors").err().unwrap();
    let text = format!("{error:?}");
    assert!(text.contains("none.safetensors") && text.contains("No such file"), "{text}");
}
