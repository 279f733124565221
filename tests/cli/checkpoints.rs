//! Checkpoints as people have them, given to the commands that take a model.

use std::collections::BTreeMap;
use std::fs;

use var_host::checkpoint::{Checkpoint, Dtype, Record, save};
use var_host::images::{RgbImage, crop, write_png};

use super::{Place, fixture, small_model, succeeds, train};

/// Writes the tensors of `source` that `rename` gives a name under that name, without metadata.
fn write(place: &Place, name: &str, source: &str, rename: impl Fn(&str) -> Option<String>) {
    let source = Checkpoint::open(source).unwrap();
    let records = source.tensors().filter_map(|tensor| {
        let found = source.tensor(tensor.name).unwrap();
        Some(Record::borrowed(rename(tensor.name)?, found.dtype, found.shape, found.bytes))
    });
    save(place.path(name), records, &BTreeMap::new(), false).unwrap();
}

/// E01: a VQVAE that does not say its ladder has that of the published models in every command.
#[test]
fn vqvae_alone_is_taken_by_every_command() {
    let place = Place::new();
    let of_vqvae = |name: &str| name.strip_prefix("vae.").map(str::to_owned);
    write(&place, "vae.safetensors", &small_model(), of_vqvae);
    let source = RgbImage::open(fixture("pipeline_0.png").as_ref()).unwrap();
    fs::create_dir_all(place.path("data/a")).unwrap();
    let picture = crop(&source, 0, 0, 64, 64);
    write_png(&place.path("data/a/p.png"), &picture, &Default::default(), false).unwrap();

    let published = "1_2_3_4_5_6_8_10_13_16";
    let vae = ["--vae", "vae.safetensors"];
    for arguments in [&["info", "vae.safetensors"][..], &["info", "--vae", "vae.safetensors"]] {
        let said = place.var(arguments);
        let wants = format!("ladder {published} (the published one: the file does not say)");
        assert!(said.contains(&wants), "{said}");
    }
    let info: serde_json::Value =
        serde_json::from_str(&place.var(&["info", "vae.safetensors", "--json"])).unwrap();
    let side = info["picture_side"].as_u64().unwrap() as usize;
    assert_eq!(info["ladder_assumed"], true);
    let with = |arguments: &[&str]| {
        let output = place.command(&[arguments, &vae].concat()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}");
        let wants =
            format!("vae.safetensors: ladder {published}, the published one: the file does");
        assert!(said.contains(&wants), "{arguments:?}: {said}");
    };
    with(&["reconstruct", "data/a/p.png", "-o", "made/"]);
    assert_eq!(place.picture("made/p.png").width(), side);
    with(&["encode", "data/a/p.png", "-o", "tokens"]);
    assert_eq!(place.tokens("tokens").ladder().last(), Some(&16));
    with(&["tokenize", "data", "-o", "all"]);
    assert_eq!(place.tokens("all").ladder().last(), Some(&16));
    with(&["convert", "-o", "converted"]);
    // Settings that no one gave stay open.
    assert!(place.var(&["info", "converted"]).contains("(the published one"));
    with(&["decode", "tokens", "-o", "decoded/"]);
}

/// C01c: one option chooses among several models of a file, in every command.
#[test]
fn part_of_a_checkpoint_is_chosen() {
    let place = Place::new();
    let both = |name: &str| ["model", "ema"].map(|part| format!("{part}.{name}"));
    let source = Checkpoint::open(small_model()).unwrap();
    let names: Vec<_> = source
        .tensors()
        .flat_map(|tensor| both(tensor.name).map(|name| (name, tensor.name)))
        .collect();
    let records = names.into_iter().map(|(name, of)| {
        let found = source.tensor(of).unwrap();
        Record::borrowed(name, found.dtype, found.shape, found.bytes)
    });
    save(place.path("both"), records, &BTreeMap::new(), false).unwrap();
    let message = "both: more than one transformer in it: choose by --part \"ema.var\", --part";
    place.refused(&["sample", "--model", "both", "-o", "x.png"], 1, message);
    let ladder = ["info", "both", "--ladder", "1_2_3_4"];
    place.var(&[&ladder[..], &["--part", "ema"]].concat());
    place.refused(&["info", "both", "--part", "emma"], 1, "more than one transformer in it");
    place.refused(&["info", "--part", "ema"], 2, "--part goes with --model, --var or --vae");
}

/// Audit 14: the built-in model's own numbers are no contradiction.
#[test]
fn own_numbers_of_the_built_in_model_are_no_contradiction() {
    let place = Place::new();
    place.var(&["info", "--ladder", "1_2_3_4_6_8"]);
    place.refused(&["info", "--ladder", "1_2"], 2, "--ladder goes with --model");
    train::data(&place);
    let run = "train --vae built-in --pn 1_2_3_4_6_8 --data data --depth 1 --width 16 --heads 1 --bs 4 \
               --iterations 1 --sample-every 0 --out run -q";
    let run: Vec<&str> = run.split_whitespace().collect();
    succeeds(&mut place.command_as_typed(&run));
}

/// Audit 10: `--heads` sets the heads that `--init-from`'s model leaves open.
#[test]
fn heads_of_a_model_to_begin_with_are_given() {
    let place = Place::new();
    train::data(&place);
    let sizes = [
        "train", "--vae", "built-in", "--data", "data", "--depth", "1", "--width", "16", "--anorm",
        "0",
    ];
    let run = ["--bs", "4", "--iterations", "1", "--sample-every", "0", "--heads", "2", "-q"];
    let run = [&sizes[..], &run].concat();
    place.var(&[&run[..], &["--out", "run"]].concat());
    // As published: without metadata, which would say the heads.
    let saved = place.path("run/ckpt-last.safetensors");
    let of_transformer = |name: &str| name.strip_prefix("var.").map(str::to_owned);
    write(&place, "first", saved.to_str().unwrap(), of_transformer);
    let more = ["--init-from", "first", "--tblr", "0", "--out", "more"];
    place.var(&[&run[..], &more].concat());
    let saved = Checkpoint::open(place.path("more/ckpt-last.safetensors")).unwrap();
    let first = Checkpoint::open(place.path("first")).unwrap();
    let name = "blocks.0.attn.mat_qkv.weight";
    let saved = saved.tensor(&format!("var.{name}")).unwrap().to_f32();
    assert_eq!(saved, first.tensor(name).unwrap().to_f32());
}

/// C03, C02d: shards are read by their folder; what is no checkpoint is named.
#[test]
fn shards_and_files_of_other_kinds_are_told() {
    let place = Place::new();
    fs::create_dir(place.path("sharded")).unwrap();
    let source = small_model();
    for (file, part) in
        [("m-00001-of-00002.safetensors", "var."), ("m-00002-of-00002.safetensors", "vae.")]
    {
        let of_part = |name: &str| name.starts_with(part).then(|| name.to_owned());
        write(&place, &format!("sharded/{file}"), &source, of_part);
    }
    let ladder = ["--ladder", "1_2_3_4", "--seed", "3", "-q"];
    place.var(&[&["sample", "--model", "sharded", "-o", "a.png"], &ladder[..]].concat());
    let halves = ["--var", "sharded/m-00001-of-00002.safetensors", "--vae", "sharded"];
    place.var(&[&["sample", "-o", "b.png"], &halves[..], &ladder].concat());
    place.var(&["sample", "--seed", "3", "-q", "-o", "c.png"]);
    let one_file = place.picture("c.png");
    assert!(place.picture("a.png") == one_file && place.picture("b.png") == one_file);
    fs::remove_file(place.path("sharded/m-00002-of-00002.safetensors")).unwrap();
    let missing = "1 of 2 shards are missing: m-00002-of-00002.safetensors";
    place.refused(&["sample", "--model", "sharded"], 1, missing);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 99\n";
    fs::write(place.path("vae.pth"), pointer).unwrap();
    let named = "vae.pth: not a checkpoint but a Git LFS pointer to a file of 99 bytes: fetch";
    place.refused(&["reconstruct", "x.png", "--vae", "vae.pth", "-o", "o/"], 1, named);
}

/// Audit 4: weights that are finite and overflow are refused where it shows, by the tensor.
#[test]
fn overflowing_weights_are_named() {
    let place = Place::new();
    let source = Checkpoint::open(small_model()).unwrap();
    // Each is small enough to be a weight, and together they overflow.
    let write = |name: &str, of: &dyn Fn(&str) -> bool| {
        let records = source.tensors().map(|tensor| {
            let found = source.tensor(tensor.name).unwrap();
            let count = found.shape.iter().product::<usize>();
            if !of(tensor.name) {
                return Record::borrowed(tensor.name, found.dtype, found.shape, found.bytes);
            }
            let bytes = 9e8_f32.to_le_bytes().repeat(count);
            let shape = found.shape.to_vec();
            let bytes: Box<dyn FnOnce() -> _> = Box::new(move || Ok(bytes.into()));
            Record { name: tensor.name.to_owned(), dtype: Dtype::F32, shape, bytes }
        });
        save(place.path(name), records, source.metadata(), false).unwrap();
    };
    let ends = |ends: &'static [&'static str]| {
        move |name: &str| ends.iter().any(|end| name.ends_with(end))
    };
    let var = ends(&[
        "var.blocks.1.ada_lin.1.weight",
        "blocks.1.ffn.fc1.weight",
        "blocks.1.ffn.fc2.weight",
        "var.class_emb.weight",
    ]);
    write("var", &var);
    // A path without a norm: two convolutions that halve the sides, after a block.
    write(
        "vae",
        &ends(&["downsample.conv.weight", "block.0.norm2.weight", "block.0.conv2.weight"]),
    );
    // Convolutions of the decoder that follow one another without a norm.
    let path =
        ends(&["upsample.conv.weight", "norm2.weight", "conv2.weight", "nin_shortcut.weight"]);
    let decoder = |name: &str| name.starts_with("vae.decoder.up.") && path(name);
    write("decoder", &decoder);
    let picture = fixture("pipeline_0.png");
    let overflow = |what: &str, file: &str| {
        format!("{what} is not finite: {file}: the weights overflow, the greatest is 9e8 in ")
    };
    let score = ["score", &picture, "--model", "var", "--classes", "0"];
    place.refused(&score, 1, &(overflow("a token's likelihood", "var") + "var."));
    let logit = overflow("a logit", "var");
    for more in [&["--seed=1"][..], &["--cfg=0"], &["--more-smooth"], &["--class=-1"]] {
        let sample = ["sample", "--model", "var", "--count", "1"];
        place.refused(&[&sample[..], more].concat(), 1, &logit);
    }
    let edit = ["edit", &picture, "--model", "var", "--box", "0,0,0.5,1", "-o", "edited.png"];
    place.refused(&edit, 1, &logit);
    fs::create_dir_all(place.path("data/bag")).unwrap();
    fs::copy(&picture, place.path("data/bag/0.png")).unwrap();
    let validate = ["validate", "--model", "var", "--data", "data"];
    place.refused(&validate, 1, &overflow("the loss", "var"));
    place.refused(&[&validate[..], &["--json"]].concat(), 1, &overflow("the loss", "var"));

    let encode = ["encode", &picture, "--model", "vae", "-o", "t"];
    place.refused(&encode, 1, &overflow("an image's latent", "vae"));
    let reconstruct = ["reconstruct", &picture, "--model", "vae", "-o", "r.png"];
    place.refused(&reconstruct, 1, &overflow("an image's latent", "vae"));

    let image = overflow("an image", "decoder");
    place.refused(&["sample", "--model", "decoder", "--count", "1"], 1, &image);
    place.refused(&["reconstruct", &picture, "--model", "decoder", "-o", "r.png"], 1, &image);
    place.var(&["encode", &picture, "--model", "decoder", "-o", "tokens", "-q"]);
    place.refused(&["decode", "tokens", "--model", "decoder", "-o", "d.png"], 1, &image);
    let sample = ["sample", "--model", "decoder", "--count", "1", "--progressive", "steps"];
    let output = place.command(&sample).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let left = |folder: &str| match fs::read_dir(place.path(folder)) {
        Ok(entries) => entries
            .filter(|entry| {
                entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "png")
            })
            .count(),
        Err(_) => 0,
    };
    assert_eq!(left("steps"), 0, "images of an overflow");

    // As a library.
    let open = |name: &str| var_host::Model::open(place.path(name)).unwrap();
    let fault = open("var").sample(&[8], &Default::default()).unwrap_err().to_string();
    assert!(fault.contains("a logit is not finite") && fault.contains("9e8 in var."), "{fault}");
    let fault = open("var").logits(&[0; 30], 8).unwrap_err().to_string();
    assert!(fault.contains("a logit is not finite"), "{fault}");
    let fault = open("decoder").decode(&[0; 30]).unwrap_err().to_string();
    assert!(fault.contains("an image is not finite"), "{fault}");
}

/// Audit 4: weights that no trained model has are refused by every command that opens a model.
#[test]
fn weights_too_large_for_a_model_are_named_by_every_command() {
    let place = Place::new();
    let source = Checkpoint::open(small_model()).unwrap();
    let records = source.tensors().map(|tensor| {
        let found = source.tensor(tensor.name).unwrap();
        if tensor.name != "var.head.bias" {
            return Record::borrowed(tensor.name, found.dtype, found.shape, found.bytes);
        }
        let bytes = 2e9_f32.to_le_bytes().repeat(found.shape.iter().product());
        let shape = found.shape.to_vec();
        let bytes: Box<dyn FnOnce() -> _> = Box::new(move || Ok(bytes.into()));
        Record { name: tensor.name.to_owned(), dtype: Dtype::F32, shape, bytes }
    });
    save(place.path("model"), records, source.metadata(), false).unwrap();
    let message =
        "model: var.head.bias: element 0 is 2e9, more than 1e9: damaged, or it has diverged";
    for line in [
        &["info", "model"][..],
        &["convert", "--model", "model", "-o", "other"],
        &["sample", "--model", "model"],
        &["bench", "--model", "model"],
    ] {
        place.refused(line, 1, message);
    }
    let fault = var_host::Model::open(place.path("model")).err().unwrap().to_string();
    assert!(fault.contains("var.head.bias: element 0 is 2e9"), "{fault}");
}
