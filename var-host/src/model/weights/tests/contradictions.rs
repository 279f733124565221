//! Metadata, options and tensors must agree.

use super::*;
use crate::model::settings::{VaeSettings, VarSettings};

fn settings() -> Settings {
    let (var, vae) = configs();
    let (var, vae) = (Some(VarSettings::from(&var)), Some(VaeSettings::from(&vae)));
    Settings { var, vae, ..Settings::default() }
}

/// The error of the model of [`configs`] with changed metadata.
fn refused_metadata(change: impl Fn(&mut VarSettings, &mut VaeSettings)) -> String {
    let (var, vae) = configs();
    let mut settings = settings();
    let (Some(said_var), Some(said_vae)) = (&mut settings.var, &mut settings.vae) else { panic!() };
    change(said_var, said_vae);
    message(open_with(&tensors(var, vae), Some(&settings), Hints::default()))
}

/// Audit 4: metadata that contradicts the tensors is refused.
#[test]
fn metadata_that_contradicts_the_tensors_is_refused() {
    let (var, vae) = configs();
    let tensors = tensors(var, vae);
    assert!(open_with(&tensors, Some(&settings()), Hints::default()).is_ok());
    for (refusal, wants) in [
        (refused_metadata(|var, _| var.depth = 1), "depth 1, its tensors say 2"),
        (refused_metadata(|var, _| var.width = 9), "width 9, its tensors say 12"),
        (refused_metadata(|var, _| var.classes = 9), "classes 9, its tensors say 4"),
        (
            refused_metadata(|var, _| var.ladder = vec![1, 4]),
            "ladder [1, 4], its tensors say [1, 3]",
        ),
        (
            refused_metadata(|var, _| var.unit_length = false),
            "unit_length false, its tensors say true",
        ),
        (refused_metadata(|_, vae| vae.codes = 9), "codes 9, its tensors say 7"),
        (refused_metadata(|_, vae| vae.refinements = 1), "refinements 1, its tensors say 3"),
        (
            refused_metadata(|_, vae| vae.refinement_ratio = 0.0),
            "a refinement false, its tensors say true",
        ),
        (refused_metadata(|_, vae| vae.decoder_blocks = 9), "decoder_blocks 9, its tensors say 2"),
    ] {
        assert_eq!(refusal, format!("file: its metadata says {wants}"));
    }
    assert_eq!(
        refused_metadata(|var, _| var.depth = 9),
        "file: var.blocks.2.ffn.fc1.weight is missing"
    );
    // Heads are in the tensors, or only in the metadata.
    assert_eq!(
        refused_metadata(|var, _| var.heads = 2),
        "file: its metadata says heads 2, its tensors say 3"
    );
    let mut halved = tensors.clone();
    halved.retain(|name, _| name.starts_with("vae."));
    assert_eq!(
        message(open_with(&halved, Some(&settings()), Hints::default())),
        "file: no transformer in it: no tensor is called or ends in pos_1LC"
    );
}

/// stable-diffusion.cpp 1493: numbers of 8 bits with a factor beside them, which would be left out.
#[test]
fn scales_of_other_numbers_than_q8_are_refused() {
    use safetensors::Dtype;

    let (var, vae) = configs();
    let name = "var.blocks.0.attn.proj.weight";
    for dtype in [Dtype::F8_E4M3, Dtype::F16] {
        let mut scaled = tensors(var, vae);
        let (_, shape, bytes) = scaled[name].clone();
        let elements = bytes.len() / 2;
        let bytes = vec![0; elements * if dtype == Dtype::F16 { 2 } else { 1 }];
        scaled.insert(name.to_owned(), (dtype, shape, bytes));
        assert!(open(&scaled, Hints::default()).is_ok());
        let scale = (Dtype::F32, vec![1], 2_f32.to_le_bytes().to_vec());
        scaled.insert(format!("{name}.scale"), scale);
        assert_eq!(
            message(open(&scaled, Hints::default())),
            format!("file: {name}.scale of shape [1] is not part of the model")
        );
    }
}

/// Audit 4: `--heads` and `--ladder` are not ignored where the file says otherwise.
#[test]
fn hints_against_the_file_are_refused() {
    let (var, vae) = configs();
    let whole = tensors(var, vae);
    let heads = |heads| Hints { heads: Some(heads), ..Hints::default() };
    let ladder = |sides: &[usize]| Hints { ladder: Ladder::new(sides).ok(), ..Hints::default() };
    for (hints, wants) in [
        (heads(2), "file: attention heads 3, not 2 as asked for"),
        (ladder(&[1, 2]), "file: ladder 1_3, not 1_2 as asked for"),
    ] {
        assert_eq!(message(open(&whole, hints.clone())), wants);
        assert_eq!(message(open_with(&whole, Some(&settings()), hints)), wants);
    }
    for hints in [heads(3), ladder(&[1, 3])] {
        assert!(open(&whole, hints).is_ok());
    }
    // Without `scale_mul_1H11` and `lvl_1L` the metadata says it.
    let plain = tensors(VarConfig { unit_length: false, ..var }, vae);
    let mut said = settings();
    said.var.as_mut().unwrap().unit_length = false;
    assert_eq!(
        message(open_with(&plain, Some(&said), heads(2))),
        "file: attention heads 3, not 2 as asked for"
    );
    assert_eq!(open_with(&plain, Some(&said), heads(3)).unwrap().transformer.unwrap().1.heads, 3);
}

/// E01: a VQVAE alone has the published ladder, and that is said; audit 14.
#[test]
fn vqvae_alone_has_the_published_ladder() {
    let (var, vae) = configs();
    let mut tensors = tensors(var, vae);
    tensors.retain(|name, _| name.starts_with("vae."));
    let opened = |hints, settings| open_with(&tensors, settings, hints).unwrap();
    let weights = opened(Hints::default(), None);
    assert_eq!(Some(weights.vqvae.unwrap().1.ladder), Ladder::named("256"));
    assert!(weights.ladder_assumed);
    assert_eq!(weights.notes.len(), 1);
    assert!(weights.notes[0].starts_with("file: ladder 1_2_3_4_5_6_8_10_13_16, the published one"));
    let asked = Hints { ladder: Ladder::new(&[1, 2, 4]).ok(), ..Hints::default() };
    let weights = opened(asked.clone(), None);
    assert_eq!(Some(weights.vqvae.unwrap().1.ladder), asked.ladder);
    assert!(!weights.ladder_assumed && weights.notes.is_empty());
    // A ladder in the file is its own; another one is obeyed and said.
    let settings = Settings { var: None, ..settings() };
    let weights = opened(Hints::default(), Some(&settings));
    assert_eq!(weights.vqvae.unwrap().1.ladder, vae.ladder);
    let weights = opened(asked.clone(), Some(&settings));
    assert_eq!(Some(weights.vqvae.unwrap().1.ladder), asked.ladder);
    assert_eq!(weights.notes, ["file: ladder 1_2_4 as asked for; the file says 1_3"]);
    // A converted file remembers that nobody said it.
    let mut assumed = settings.clone();
    assumed.vae.as_mut().unwrap().ladder_assumed = true;
    assert!(opened(Hints::default(), Some(&assumed)).ladder_assumed);
}

#[test]
fn scales_that_a_vqvae_counts_choose_its_ladder() {
    let (var, vae) = configs();
    let with_hits = |scales: usize| {
        let mut tensors = tensors(var, vae);
        tensors.retain(|name, _| name.starts_with("vae."));
        let hits = (safetensors::Dtype::F32, vec![scales, 7], vec![0; 28 * scales]);
        tensors.insert("vae.quantize.ema_vocab_hit_SV".to_owned(), hits);
        open(&tensors, Hints::default())
    };
    for (scales, name) in [(10, "256"), (14, "1024")] {
        let ladder = with_hits(scales).unwrap().vqvae.unwrap().1.ladder;
        assert_eq!(Some(ladder), Ladder::named(name));
    }
    assert_eq!(
        message(with_hits(4)),
        "file: the file does not say its ladder and no published one has 4 scales: give it, as \
         --ladder 1_2_3_4"
    );
}

#[test]
fn halves_with_other_ladders_are_refused_by_both() {
    let (var, vae) = configs();
    let whole = tensors(var, vae);
    let mut said = settings();
    said.vae.as_mut().unwrap().ladder = vec![1, 2];
    let refusal = message(open_with(&whole, Some(&said), Hints::default()));
    assert_eq!(
        refusal,
        "file: ladder 1_3; file: ladder 1_2: say --ladder 1_3 if they belong together"
    );
    let hints = Hints { ladder: Some(var.ladder), ..Hints::default() };
    assert_eq!(open_with(&whole, Some(&said), hints).unwrap().vqvae.unwrap().1.ladder, var.ladder);
}
