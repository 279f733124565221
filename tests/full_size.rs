//! VAR-d16 and its VQVAE at full size = golden files.
//!
//! 418 million weights by formula: 3 GB of memory, and some seconds.

use var_kernel::arena::Arena;
use var_kernel::cpu::Isa;
use var_kernel::image;
use var_kernel::ops::CrossEntropy;
use var_kernel::sample::{Filter, categorical, filter, guidance, softmax};
use var_kernel::score;

use crate::support::{Golden, GoldenModel, assert_close, to_channels_last, u01, working_memory};

#[test]
#[ignore = "3 GB of memory: `cargo test --test integration -- --ignored full_size`"]
fn var_d16() {
    let golden = Golden::open("d16_full_size.safetensors");
    let model = GoldenModel::of(&golden);
    encode(&golden, &model);
    decode(&golden, &model);
    predict(&golden, &model);
}

fn encode(golden: &Golden, model: &GoldenModel) {
    let (_, bytes) = golden.raw("encode.image_u8");
    let want = golden.integers("encode.tokens");
    model.with(|cpu, model| {
        let mut memory = working_memory(1024);
        let mut arena = Arena::new(&mut memory[..]);
        let picture = arena.take(bytes.len());
        image::from_bytes(picture, &bytes);
        let latent = arena.take(model.vqvae.quantizer.latent_len(1));
        let Ok(()) = model.vqvae.encode(cpu, latent, picture, &mut arena);
        let worst = assert_close("latent", latent, &golden.channels_last("encode.latent"), 2e-4);
        let mut tokens = vec![u32::MAX; want.len()];
        let Ok(()) = model.vqvae.quantizer.encode(cpu, &mut tokens, latent, &mut arena);
        let others = tokens.iter().zip(&want).filter(|(a, b)| a != b).count();
        eprintln!("d16: latent off by at most {worst:e}, {others} of {} tokens differ", want.len());
        assert!(others <= 4, "{others} of {} encoded tokens differ", want.len());
    });
}

fn decode(golden: &Golden, model: &GoldenModel) {
    let (shape, planes) = golden.raw("sampled.image_u8");
    let planes: Vec<f32> = planes.into_iter().map(f32::from).collect();
    let want = to_channels_last(&planes, shape[1], shape[2] * shape[3]);
    let tokens = golden.integers("sampled.tokens");
    model.with(|cpu, model| {
        let mut memory = working_memory(1024);
        let mut arena = Arena::new(&mut memory[..]);
        let latent = arena.take(model.vqvae.quantizer.latent_len(1));
        let picture = arena.take(want.len());
        let quantizer = &model.vqvae.quantizer;
        let Ok(()) = quantizer.decode(cpu, latent, &tokens, &mut arena, |_, _, _| Ok(()));
        let Ok(()) = model.vqvae.decode(cpu, picture, latent, &mut arena);
        let mut bytes = vec![0; want.len()];
        image::to_bytes(&mut bytes, picture);
        let got: Vec<f32> = bytes.into_iter().map(f32::from).collect();
        let worst = assert_close("decoded image, in bytes", &got, &want, 1.0);
        eprintln!("d16: decoded image off by at most {worst} of 255");
    });
}

fn predict(golden: &Golden, model: &GoldenModel) {
    let tokens = golden.integers("sampled.tokens");
    let sampled = &golden.about["sampled"];
    let number = |key: &str| sampled[key].as_f64().expect("a number") as f32;
    let label = sampled["labels"][0].as_u64().expect("a label") as u32;
    let (ladder, codes) = (model.var.ladder, model.var.codes);
    let (mut logits, without) = model.with(|cpu, kernel| {
        let mut memory = working_memory(1024);
        let mut arena = Arena::new(&mut memory[..]);
        let mut logits = |label| {
            let mut logits = vec![f32::NAN; tokens.len() * codes];
            let Ok(()) =
                score::teacher_forced(cpu, kernel, &mut logits, &tokens, label, &mut arena);
            logits
        };
        let (with, without) = (logits(label), logits(model.var.null_class()));

        let ends: Vec<f32> = (0..ladder.scales())
            .flat_map(|scale| with[(ladder.range(scale).end - 1) * codes..][..codes].to_vec())
            .collect();
        let want = golden.floats("teacher.logits_last_token_per_scale").1;
        let worst = assert_close("logits", &ends, &want, 5e-3);
        let mut nll = vec![f32::NAN; tokens.len()];
        let Ok(()) = cpu.cross_entropy(&mut nll, &with, &tokens, 0.0);
        let want = golden.floats("teacher.cross_entropy_per_token").1;
        let unlikely = assert_close("cross-entropy", &nll, &want, 1e-3);
        eprintln!("d16: logits off by at most {worst:e}, cross-entropy by {unlikely:e}");
        (with, without)
    });

    let settings = Filter { top_k: number("top_k") as usize, top_p: number("top_p") };
    let mut agreed = 0;
    for scale in 0..ladder.scales() {
        let range = ladder.range(scale);
        let numbers = u01(&format!("d16.uniform1.{scale}"), range.len());
        let strength = guidance::strength(number("cfg"), scale, ladder.scales());
        for (u, cell) in numbers.into_iter().zip(range) {
            let row = &mut logits[cell * codes..][..codes];
            guidance::guide(row, &without[cell * codes..][..codes], strength);
            filter(Isa::best(), row, settings, &mut vec![0.0; codes]);
            softmax::softmax(Isa::best(), row);
            agreed += usize::from(categorical::draw(row, u) == tokens[cell] as usize);
        }
    }
    eprintln!("d16: {agreed} of {} draws agree", tokens.len());
    assert!(agreed >= 676, "{agreed} of {} draws agree", tokens.len());
}
