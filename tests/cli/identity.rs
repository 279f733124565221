//! Files of two VQVAEs or of two data sets that have the same names and sizes.

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use var_host::checkpoint::{Checkpoint, Record, save};
use var_host::images::{RgbImage, crop, write_png};
use var_host::tokens::TokenFile;

use super::{Place, fixture, small_model};

/// Writes the small model with the rows of its codebook in reverse: another VQVAE of its sizes.
fn reversed(place: &Place, name: &str) {
    let codebook = "vae.quantize.embedding.weight";
    let source = Checkpoint::open(small_model()).unwrap();
    let rows = source.tensor(codebook).unwrap();
    let row = rows.bytes.len() / rows.shape[0];
    let bytes: Vec<u8> = rows.bytes.chunks(row).rev().flatten().copied().collect();
    let names: Vec<String> = source.tensors().map(|tensor| tensor.name.to_owned()).collect();
    let records = names.iter().map(|name| {
        let tensor = source.tensor(name).unwrap();
        let bytes = if name == codebook { &bytes[..] } else { tensor.bytes };
        Record::borrowed(name, tensor.dtype, tensor.shape, bytes)
    });
    let metadata: BTreeMap<_, _> = source.metadata().clone();
    save(place.path(name), records, &metadata, false).unwrap();
}

/// Four images of two classes, for training and for validation.
fn data(place: &Place, root: &str) {
    let source = RgbImage::open(fixture("pipeline_1.png").as_ref()).unwrap();
    for number in 0..8 {
        let part = ["train", "val"][number / 4];
        let folder = place.path(root).join(part).join(["bag", "coat"][number % 2]);
        fs::create_dir_all(&folder).unwrap();
        let picture = crop(&source, 3 * number, number, 32, 32);
        write_png(&folder.join(format!("{number}.png")), &picture, &Default::default(), false)
            .unwrap();
    }
}

fn tokenize(place: &Place, model: &str, split: &str, output: &str) {
    let options = ["tokenize", "data", "--model", model, "--split", split, "-o", output, "-q"];
    place.var(&options);
}

/// Runs `var`, which must succeed, and returns its stderr.
fn said(place: &Place, arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = place.command(arguments).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{arguments:?}: {said}");
    said
}

const SMALL: [&str; 12] = [
    "train",
    "--depth",
    "1",
    "--width",
    "64",
    "--bs",
    "4",
    "--iterations",
    "2",
    "-q",
    "--out",
    "run",
];

// K01: tokens of another VQVAE of the same sizes.
#[test]
fn tokens_of_another_vqvae_are_refused() {
    let place = Place::new();
    let small = small_model();
    data(&place, "data");
    reversed(&place, "other");
    tokenize(&place, "other", "train", "train.tok");
    tokenize(&place, &small, "train", "own.tok");
    let refused = "train.tok: made by VQVAE ";
    let train = [&SMALL[..], &["--vae", &small, "--tokens", "train.tok"]].concat();
    place.refused(&train, 1, refused);
    let judge = ["--vae", &small, "--tokens", "own.tok", "--val-tokens", "train.tok"];
    place.refused(&[&SMALL[..], &judge].concat(), 1, refused);
    let model = ["--model", &small];
    place.refused(&[&["validate", "--tokens", "train.tok"], &model[..]].concat(), 1, refused);
    place.refused(&[&["decode", "train.tok", "-o", "pictures/"], &model[..]].concat(), 1, refused);
    let from = ["sample", "--from", "train.tok", "--scales", "2"];
    place.refused(&[&from, &model[..]].concat(), 1, refused);
    // A transformer that has learned the codes of another VQVAE.
    place.var(&["convert", "--model", &small, "-o", "whole", "-q"]);
    let halves = ["sample", "--var", "whole", "--vae", "other"];
    place.refused(&halves, 1, "whole: its transformer goes with VQVAE ");
    place.var(&["sample", "--var", "whole", "--vae", &small, "--count", "1", "-q"]);
    // Where the VQVAE is the same all is taken, from whatever file it comes.
    place.var(&["decode", "train.tok", "--vae", "other", "--ladder", "1_2_3_4", "-o", "d/", "-q"]);
    place.var(&[&["validate", "--tokens", "own.tok"], &model[..]].concat());
    assert_eq!(place.names().iter().filter(|name| name.starts_with("d/0")).count(), 4);
}

#[test]
fn tokens_of_another_precision_or_of_unknown_origin_are_told_of() {
    let place = Place::new();
    let small = small_model();
    data(&place, "data");
    place.var(&["convert", "--model", &small, "--dtype", "bf16", "-o", "bf16", "-q"]);
    tokenize(&place, "bf16", "val", "bf16.tok");
    let decode = |tokens: &str| {
        said(&place, &["decode", tokens, "--model", &small, "-o", "d/", "--force", "-q"])
    };
    let line = decode("bf16.tok");
    assert!(
        line.starts_with("var: bf16.tok: made by VQVAE ") && line.contains("precisions"),
        "{line}"
    );
    tokenize(&place, &small, "val", "own.tok");
    assert_eq!(decode("own.tok"), "");
    let tokens = place.tokens("own.tok");
    let unknown = TokenFile::new(tokens.ladder().to_vec(), tokens.tokens().to_vec(), None);
    unknown.save(&place.path("old.tok"), false).unwrap();
    let line = decode("old.tok");
    assert!(line.starts_with("var: old.tok: which VQVAE made these tokens is not known"), "{line}");
}

// Audit 2: inputs are exchanged before a run goes on.
#[test]
fn runs_go_on_with_the_files_they_were_begun_with() {
    let place = Place::new();
    let small = small_model();
    data(&place, "data");
    tokenize(&place, &small, "train", "train.tok");
    tokenize(&place, &small, "val", "val.tok");
    let run = |tokens: &'static str, judge: &'static str| {
        [&SMALL[..], &["--vae", &small, "--tokens", tokens, "--val-tokens", judge]].concat()
    };
    place.var(&run("train.tok", "val.tok"));
    // The same tokens, in another order.
    let permuted = |from: &str, to: &str| {
        let file = place.tokens(from);
        let length = file.tokens_per_image();
        let tokens = file.tokens().chunks(length).rev().flatten().copied().collect();
        let vqvae = file.vqvae().unwrap();
        let file =
            TokenFile::new(file.ladder().to_vec(), tokens, file.labels().map(<[i32]>::to_vec));
        file.made_by(vqvae).save(&place.path(to), false).unwrap();
    };
    permuted("train.tok", "train2.tok");
    permuted("val.tok", "val2.tok");
    let begun = "the run was started with files of digest";
    place.refused(&run("train2.tok", "val.tok"), 1, &format!("--tokens: {begun}"));
    place.refused(&run("train.tok", "val2.tok"), 1, &format!("--val-tokens: {begun}"));
    fs::rename(place.path("train.tok"), place.path("elsewhere.tok")).unwrap();
    place.var(&run("elsewhere.tok", "val.tok"));

    reversed(&place, "other");
    let run = |vae: &'static str, data: &'static str| {
        let vae = if vae == "small" { &small[..] } else { vae };
        [&SMALL[..11], &["pictures", "--vae", vae, "--data", data]].concat()
    };
    place.var(&run("small", "data"));
    place.refused(&run("other", "data"), 1, &format!("--vae: {begun}"));
    data(&place, "data2");
    place.var(&run("small", "data2"));
    fs::rename(place.path("data2/val/coat/5.png"), place.path("data2/val/coat/9.png")).unwrap();
    place.refused(&run("small", "data2"), 1, &format!("--data: {begun}"));

    // An image changed in place, at its size.
    data(&place, "data3");
    place.var(&run("small", "data3"));
    let mut bytes = place.bytes("data3/train/bag/0.png");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(place.path("data3/train/bag/0.png"), bytes).unwrap();
    place.refused(&run("small", "data3"), 1, &format!("--data: {begun}"));

    // A run of before there were digests.
    let config = fs::read_to_string(place.path("pictures/config.json")).unwrap();
    let old = config.lines().filter(|line| !line.contains("-digest")).collect::<Vec<_>>();
    fs::write(place.path("pictures/config.json"), old.join("\n").replace(",\n}", "\n}")).unwrap();
    let line = said(&place, &run("small", "data"));
    assert!(line.contains("pictures: whether the files of --data, --vae are those"), "{line}");
}

#[test]
fn model_to_begin_with_was_trained_on_the_runs_vqvae() {
    let place = Place::new();
    let small = small_model();
    data(&place, "data");
    reversed(&place, "other");
    let run = |out: &'static str, vae: &str, more: &[&str]| {
        let options = [&SMALL[..11], &[out, "--vae", vae, "--data", "data"], more].concat();
        options.iter().map(|option| (*option).to_owned()).collect::<Vec<String>>()
    };
    let first = ["--init-from", "first/ckpt-last.safetensors"];
    let go = |line: Vec<String>| said(&place, &Vec::from_iter(line.iter().map(String::as_str)));
    let refused = |line: Vec<String>, message: &str| {
        let line = Vec::from_iter(line.iter().map(String::as_str));
        place.refused(&line, 1, message);
    };
    go(run("first", &small, &[]));
    assert_eq!(go(run("same", &small, &first)), "");
    let message = "first/ckpt-last.safetensors: its transformer was trained on VQVAE ";
    refused(run("third", "other", &first), message);
    go(run("any", "other", &[&first[..], &["--any-vae"]].concat()));
    // A model file that has no digest has the VQVAE itself.
    let whole = run("whole", "other", &["--init-from", &small]);
    refused(whole, "its transformer was trained on VQVAE ");
    // Of a transformer alone it is not known.
    let saved = Checkpoint::open(place.path("first/ckpt-last.safetensors")).unwrap();
    let records = saved.tensors().filter_map(|tensor| {
        let found = saved.tensor(tensor.name).unwrap();
        let name = tensor.name.strip_prefix("var.")?;
        Some(Record::borrowed(name, found.dtype, found.shape, found.bytes))
    });
    save(place.path("alone"), records, &BTreeMap::new(), false).unwrap();
    let line = go(run("unknown", "other", &["--init-from", "alone"]));
    assert!(
        line.contains("alone: which VQVAE its transformer was trained on is not known"),
        "{line}"
    );
}
