//! Refusals of `var`: exit code, message, and nothing written.

use std::fs;
use std::path::Path;

use var_host::checkpoint::{Checkpoint, Dtype, Record, save};

use super::{Place, fixture, small_model};

/// Writes the small model's file to `path`, its tensors changed by `change`.
pub(super) fn altered(path: &Path, change: impl Fn(&mut Vec<Record<'_>>)) {
    let checkpoint = Checkpoint::open(small_model()).unwrap();
    let tensors: Vec<_> = checkpoint
        .tensors()
        .map(|info| (info.name, checkpoint.tensor(info.name).unwrap()))
        .collect();
    let mut records = tensors
        .iter()
        .map(|(name, tensor)| Record::borrowed(*name, tensor.dtype, tensor.shape, tensor.bytes))
        .collect();
    change(&mut records);
    save(path, records, checkpoint.metadata(), true).unwrap();
}

/// The record called `name`.
pub(super) fn record<'r, 'a>(records: &'r mut [Record<'a>], name: &str) -> &'r mut Record<'a> {
    records.iter_mut().find(|record| record.name == name).unwrap()
}

#[test]
fn absurd_options() {
    let place = Place::new();
    for (options, message) in [
        (&["--count", "0"][..], "'0' for '--count <N>': 0 is not in 1..=10000000"),
        (&["--count", "99999999999"], "99999999999 is not in"),
        (&["--per-class", "0"], "'--per-class <N>': 0 is not in"),
        (&["--batch", "0"], "'--batch <N>': 0 is not in 1..=4096"),
        (&["--batch", "1000000000"], "'--batch <N>': 1000000000 is not in 1..=4096"),
        (&["--top-p", "2"], "'--top-p <P>': 2 is not in 0..=1"),
        (&["--top-p", "NaN"], "'--top-p <P>': NaN is not in 0..=1"),
        (&["--top-k", "-1"], "--top-k"),
        (&["--cfg", "NaN"], "'--cfg <STRENGTH>': NaN is not in 0..=1000"),
        (&["--cfg", "-1"], "--cfg"),
        (&["--temperature", "0"], "'--temperature <T>': 0 is not in 0.01..=100"),
        (&["--cfg", "inf"], "inf is not in 0..=1000"),
        (&["--seed", "-3"], "-3 is not in 0..=18446744073709551615"),
        (&["--count", "many"], "\"many\" is no whole number from 1 to 10000000"),
        (&["--grid", "0"], "'--grid <COLUMNS>': 0 is not in"),
        (&["--threads", "0"], "'--threads <N>': 0 is not in 1..=1024"),
        (&["--device", "tpu"], "wants cpu, cuda or cuda:N"),
        (&["--isa", "sse9"], "possible values: portable, sse2, avx2, avx512, neon"),
        (&["--count", "3", "--per-class", "3"], "cannot be used with"),
        (&["--scales", "2"], "--from <TOKENS>"),
        (&["--ladder", "3_2_1"], "--ladder"),
        (&["-o", "picture.jpg"], "-o picture.jpg: wants a .png file, or a folder"),
        (&["-o", "out/", "--grid", "3"], "--grid goes with one image"),
        (&["--count", "1000000"], "1000000 images of 32 × 32 are too many for one image"),
        (&["--per-class", "9999999", "-o", "out/"], "99999990 images are wanted, at most 10000000"),
    ] {
        place.refused(&[&["sample"], options].concat(), 2, message);
    }
    place.refused(&["paint"], 2, "unrecognized subcommand 'paint'");
    place.refused(&["bench", "--runs", "0"], 2, "--runs");
    for (typed, message) in [
        (&["sample", "--ladder", "256"][..], "--ladder goes with --model, --var or --vae"),
        (&["bench", "--dtype", "f16"], "--depth"),
    ] {
        place.refused_by(&mut place.command_as_typed(typed), 2, message);
    }
}

#[test]
fn instruction_sets_this_machine_lacks() {
    let place = Place::new();
    let has = super::isas();
    for isa in ["sse2", "avx2", "avx512", "neon"].into_iter().filter(|isa| !has.contains(isa)) {
        let message = format!("--isa {isa}: this machine has {}", has.join(", "));
        place.refused(&["sample", "--isa", isa], 1, &message);
    }
}

#[test]
fn unknown_classes() {
    let place = Place::new();
    for (class, message) in [
        ("10-12", "--class 12: the model has classes 0 to 9, and -1 for none"),
        ("11", "--class 11: the model has classes 0 to 9"),
        ("-2", "--class -2: the model has classes 0 to 9"),
        ("snaeker", "--class snaeker: no class is called that; near it: sneaker (7)"),
        ("s", "--class s: several classes are: T-shirt (0), trouser (1), dress (3)"),
        ("", "--class : no class is called that"),
    ] {
        place.refused(&["sample", "--class", class], 1, message);
    }
    fs::copy(fixture("pipeline_0.png"), place.path("p.png")).unwrap();
    place.refused(&["score", "p.png", "--classes", "99"], 1, "--classes 99: the model has");
    place.refused(
        &["edit", "p.png", "--box", "0,0,1,1", "--class", "1,2"],
        1,
        "wants one class, got 2",
    );
}

#[test]
fn paths_that_cannot_be_written() {
    let place = Place::new();
    fs::write(place.path("file"), "text").unwrap();
    place.refused(&["sample", "-o", "none/x.png"], 1, "cannot write none/x.png");
    place.refused(&["sample", "-o", "file/"], 1, "file/: cannot be made a folder");
    place.refused(&["sample", "--tokens", "none/t"], 1, "cannot write none/t");
    place.refused(
        &["sample", "--tokens", "file"],
        1,
        "file: exists already; --force overwrites it",
    );
    place.refused(&["convert", "--model", "file", "-o", "none/m"], 1, "cannot write none/m");
    assert_eq!(place.bytes("file"), b"text");
}

#[test]
fn pictures_that_cannot_be_read() {
    let place = Place::new();
    let whole = fs::read(fixture("pipeline_1.png")).unwrap();
    fs::write(place.path("cut.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(place.path("text.png"), "no image").unwrap();
    for (image, message) in [
        ("cut.png", "cut.png: damaged PNG"),
        ("text.png", "text.png: is not a PNG, JPEG, WebP, BMP, GIF, TIFF or Netpbm"),
        ("none.png", "none.png: "),
    ] {
        place.refused(&["encode", image, "-o", "t"], 1, message);
        place.refused(&["reconstruct", image], 1, message);
        place.refused(&["edit", image, "--box", "0,0,1,1"], 1, message);
        place.refused(&["score", image], 1, message);
    }
}

#[test]
fn token_files_of_another_kind() {
    let place = Place::new();
    fs::write(place.path("text"), "no tokens").unwrap();
    place.refused(&["decode", "text", "-o", "out"], 1, "text: ");
    let other = var_host::tokens::TokenFile::new(vec![1, 2], vec![0; 5], None);
    other.save(&place.path("other"), false).unwrap();
    let message = "other: made on ladder 1_2, the model has 1_2_3_4";
    place.refused(&["decode", "other", "-o", "out"], 1, message);
    place.refused(&["sample", "--from", "other", "--scales", "1"], 1, message);
    let mut tokens = vec![0; 30];
    tokens[7] = 512;
    let above = var_host::tokens::TokenFile::new(vec![1, 2, 3, 4], tokens, None);
    above.save(&place.path("above"), false).unwrap();
    place.refused(
        &["decode", "above", "-o", "out"],
        1,
        "above: tokens[7]: wants 0..512, file has 512",
    );
    let labeled = var_host::tokens::TokenFile::new(vec![1, 2, 3, 4], vec![0; 30], Some(vec![10]));
    let model = var_host::model::Weights::open(small_model().as_ref(), &Default::default());
    let labeled = labeled.made_by(model.unwrap().identities()[1].unwrap());
    labeled.save(&place.path("labelled"), false).unwrap();
    let message = "labelled: labels[0]: wants -1..10, file has 10";
    place.refused(&["sample", "--from", "labelled", "--scales", "1"], 1, message);
}

#[test]
fn models_that_are_damaged() {
    let place = Place::new();
    let whole = fs::read(small_model()).unwrap();
    fs::write(place.path("cut"), &whole[..whole.len() - 1]).unwrap();
    fs::write(place.path("short"), &whole[..7]).unwrap();
    fs::write(place.path("empty"), "").unwrap();
    let mut garbled = whole;
    garbled[9..200].fill(b'#');
    fs::write(place.path("garbled"), garbled).unwrap();
    for (model, message) in [
        ("cut", "cut: safetensors file holds"),
        ("short", "short: not a checkpoint"),
        ("empty", "empty: not a checkpoint"),
        ("garbled", "garbled: damaged or truncated safetensors file"),
        ("none", "cannot read none"),
        (".", "a folder without a checkpoint"),
    ] {
        place.refused(&["sample", "--model", model], 1, message);
        place.refused(&["info", model], 1, message);
        place.refused(&["convert", "--model", model, "-o", "new"], 1, message);
    }
    for (file, message) in [
        ("hostile_global.pth", "it refers to `posix.system`"),
        ("missing_storage.pth", "its storage `3` is missing"),
        ("short_storage.pth", "its storage `3` wants 100 bytes, the file has 8"),
        ("truncated.pth", "damaged or truncated PyTorch file"),
        ("not_a_checkpoint.pth", "not a checkpoint"),
    ] {
        let file = fixture(&format!("pth/{file}"));
        place.refused(&["convert", "--var", &file, "-o", "new"], 1, message);
    }
}

#[test]
fn models_that_do_not_fit_together() {
    let place = Place::new();
    let name = "var.blocks.1.ffn.fc1.weight";
    altered(&place.path("missing"), |records| records.retain(|record| record.name != name));
    altered(&place.path("misshapen"), |records| {
        record(records, name).shape = vec![256, 256];
    });
    altered(&place.path("unknown"), |records| {
        records.push(Record::borrowed("var.head.offset", Dtype::F32, [1], &[0; 4]));
    });
    altered(&place.path("nan"), |records| {
        record(records, name).bytes = Box::new(|| {
            let mut bytes = vec![0; 2 * 512 * 128];
            bytes[2 * 777..][..2].copy_from_slice(&0x7e00_u16.to_le_bytes());
            Ok(bytes.into())
        });
    });
    for (model, message) in [
        // Without one of its tensors the last block is no block, and the rest of it is unknown.
        ("missing", "missing: var.blocks.1"),
        (
            "misshapen",
            "misshapen: var.blocks.1.ffn.fc1.weight: wants [512, 128], file has [256, 256]",
        ),
        ("unknown", "unknown: var.head.offset of shape [1] is not part of the model"),
        ("nan", "nan: var.blocks.1.ffn.fc1.weight: element 777 is NaN"),
    ] {
        place.refused(&["sample", "--model", model], 1, message);
    }
    let wrong = ["sample", "--model", &small_model(), "--ladder", "1_2_3_5"];
    place.refused(&wrong, 1, "ladder 1_2_3_4, not 1_2_3_5 as asked for");
}
