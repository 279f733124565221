//! `var encode`, `decode`, `reconstruct`, `edit`, `score`: images in.

use std::fs;

use serde_json::Value;
use var_host::images::{RgbImage, write_png};

use super::{Place, fixture, small_model};

/// Images of classes 0 to 9 in `out/`.
fn sampled(place: &Place) -> Vec<String> {
    place.var(&["sample", "--class", "all", "--cfg", "4", "--top-k", "50", "-q", "-o", "out/"]);
    (0..10).map(|index| format!("out/{index:06}-class{index}.png")).collect()
}

#[test]
fn tokens_come_back_as_reconstructions() {
    let place = Place::new();
    let images = sampled(&place);
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let said = place.var(&[&["encode"], &images[..], &["-o", "tokens"]].concat());
    assert_eq!(said, "tokens: 10 images of 30 tokens\n");
    let tokens = place.tokens("tokens");
    assert_eq!((tokens.images(), tokens.labels()), (10, None));
    place.refused(&["encode", images[0], "-o", "tokens"], 1, "tokens: exists already");

    assert_eq!(place.var(&["decode", "tokens", "-o", "decoded"]), "decoded: 10 images\n");
    let report = [&["reconstruct", "--per-scale", "--json", "-o", "again"], &images[..]].concat();
    let report: Value = serde_json::from_str(&place.var(&report)).unwrap();
    for (index, image) in images.iter().enumerate() {
        let stem = image.strip_prefix("out/").unwrap().strip_suffix(".png").unwrap();
        let decoded = place.picture(&format!("decoded/{index:06}.png"));
        assert_eq!(place.picture(&format!("again/{stem}.png")), decoded);
        assert_eq!(place.picture(&format!("again/{stem}-scale03.png")), decoded);

        let original = place.picture(image);
        let square = |(x, y): (&u8, &u8)| (f64::from(*x) - f64::from(*y)).powi(2);
        let sum: f64 = original.rgb().iter().zip(decoded.rgb()).map(square).sum();
        let expected = 20.0 * (255.0 / (sum / original.rgb().len() as f64).sqrt()).log10();
        let told = report["images"][index]["psnr_db"].as_f64().unwrap();
        assert!((told - expected).abs() < 1e-9, "{image}: told {told}, is {expected}");
        assert!(told > 20.0, "{image}: {told}");
        assert_eq!(report["images"][index]["psnr_db_per_scale"][3], told);
    }
    let told = (0..10).map(|index| report["images"][index]["psnr_db"].as_f64().unwrap());
    let mean = told.sum::<f64>() / 10.0;
    assert!((report["mean_psnr_db"].as_f64().unwrap() - mean).abs() < 1e-9);
}

#[test]
fn sampled_tokens_decode_to_the_samples() {
    let place = Place::new();
    place.var(&["sample", "--class", "0-9", "-q", "-o", "out/", "--tokens", "tokens"]);
    place.var(&["decode", "tokens", "-o", "decoded/"]);
    for index in 0..10 {
        let decoded = format!("decoded/{index:06}.png");
        assert_eq!(
            place.picture(&decoded),
            place.picture(&format!("out/{index:06}-class{index}.png"))
        );
        assert_eq!(place.parameters(&decoded)["class"], index.to_string());
    }
}

/// Audit 1: a folder holds the images of one run, whichever command makes them.
#[test]
fn decode_and_reconstruct_fill_a_folder_with_one_run() {
    let place = Place::new();
    let sample = |seed: &str, count: &str, tokens: &str| {
        let options = ["sample", "--seed", seed, "--count", count, "--tokens", tokens];
        place.var(&[&options[..], &["-q", "-o", "grid.png"]].concat());
    };
    sample("1", "3", "a.tok");
    sample("2", "2", "b.tok");
    let pngs = |folder: &str| -> Vec<String> {
        let names = place.names().into_iter();
        let names = names.filter_map(|name| Some(name.strip_prefix(folder)?.to_owned()));
        names.filter(|name| name.ends_with(".png")).collect()
    };
    place.var(&["decode", "a.tok", "-o", "d/", "-q"]);
    let manifest: Value = serde_json::from_slice(&place.bytes("d/manifest.json")).unwrap();
    assert_eq!(manifest["settings"]["command"], "decode");
    assert_eq!(manifest["files"].as_array().unwrap().len(), 3);
    place.var(&["decode", "a.tok", "-o", "d/", "-q"]);
    let other = "d/000000.png: was made with tokens_digest ";
    place.refused(&["decode", "b.tok", "-o", "d/"], 1, other);
    fs::copy(fixture("pipeline_0.png"), place.path("d/mine.png")).unwrap();
    place.var(&["decode", "b.tok", "-o", "d/", "-q", "--force"]);
    assert_eq!(pngs("d/"), ["000000.png", "000001.png", "mine.png"]);

    let image = "d/000000.png";
    let reconstruct = ["reconstruct", image, "-o"];
    let command = "d/000000.png: was made with command decode, wanted is reconstruct";
    place.refused(&["reconstruct", "d/mine.png", "-o", "d/"], 1, "mine.png: exists already");
    place.refused(&["reconstruct", &fixture("pipeline_1.png"), "-o", "d/"], 1, command);
    place.var(&[&reconstruct[..], &["r/", "-q"]].concat());
    place.var(&["reconstruct", "d/mine.png", "-o", "r/", "-q"]);
    let manifest: Value = serde_json::from_slice(&place.bytes("r/manifest.json")).unwrap();
    assert_eq!(manifest["files"], serde_json::json!(["000000.png", "mine.png"]));
    let model = ["convert", "--model", &small_model(), "--dtype", "bf16"];
    place.var(&[&model[..], &["-o", "half", "-q"]].concat());
    let other = [&reconstruct[..], &["r/", "--model", "half"]].concat();
    place.refused(&other, 1, "r/000000.png: was made with model_digest ");
    let turned = "r/000000.png: was made with exif applied, wanted is ignored";
    place.refused(&[&reconstruct[..], &["r/", "--no-exif"]].concat(), 1, turned);
    place.var(&[&other[..], &["--force", "-q"]].concat());
    assert_eq!(pngs("r/"), ["000000.png"]);
}

#[test]
fn pictures_of_other_sizes_and_kinds_are_taken() {
    let place = Place::new();
    let odd = fixture("pipeline_1.png");
    let said = place.var(&["encode", &odd, &odd, "-o", "tokens"]);
    assert_eq!(said, "tokens: 2 images of 30 tokens\n");
    let tokens = place.tokens("tokens");
    assert_eq!(tokens.tokens()[..30], tokens.tokens()[30..]);
}

/// A PNG file with EXIF's orientation in the chunk eXIf.
fn with_orientation(png: &[u8], orientation: u8) -> Vec<u8> {
    let block =
        [b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation, 0, 0]];
    let block = [&block.concat()[..], &[0; 4]].concat();
    let mut exif = (block.len() as u32).to_be_bytes().to_vec();
    exif.extend(b"eXIf");
    exif.extend(&block);
    exif.extend(crc32(&exif[4..]).to_be_bytes());
    // Behind the signature and the header.
    [&png[..33], &exif, &png[33..]].concat()
}

/// PNG's checksum, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

// "small" of the cases: EXIF's orientation turns single photographs, not data sets.
#[test]
fn exif_turns_single_pictures_unless_told_not_to() {
    let place = Place::new();
    let stored = RgbImage::open(fixture("pipeline_3.png").as_ref()).unwrap();
    let stored = var_host::images::crop(&stored, 3, 5, 32, 32);
    // Orientation 2 is a mirror image.
    let upright = var_host::images::mirrored(&stored);
    for (name, picture) in [("stored.png", &stored), ("upright.png", &upright)] {
        write_png(&place.path(name), picture, &Default::default(), false).unwrap();
    }
    let turned = with_orientation(&place.bytes("stored.png"), 2);
    for folder in ["with/a", "without/a"] {
        fs::create_dir_all(place.path(folder)).unwrap();
    }
    fs::write(place.path("with/a/turned.png"), &turned).unwrap();
    fs::copy(place.path("stored.png"), place.path("without/a/turned.png")).unwrap();
    fs::write(place.path("turned.png"), &turned).unwrap();

    let pictures = ["encode", "stored.png", "upright.png", "turned.png", "-q", "-o"];
    place.var(&[&pictures[..], &["applied"]].concat());
    place.var(&[&pictures[..], &["ignored", "--no-exif"]].concat());
    let rows = |name: &str| -> Vec<Vec<i32>> {
        place.tokens(name).tokens().chunks(30).map(<[i32]>::to_vec).collect()
    };
    let [of_stored, of_upright, of_turned] = &rows("applied")[..] else { panic!() };
    assert_ne!(of_stored, of_upright);
    assert_eq!(of_turned, of_upright);
    assert_eq!(rows("ignored"), [of_stored, of_upright, of_stored].map(Clone::clone));

    // One number of each command that reads single images tells which way it took them.
    let told = |command: &[&str], image: &str, more: &[&str]| {
        place.var(&[command, &[image], more].concat()).replace(image, "")
    };
    for command in [&["score", "--classes", "3", "--json"][..], &["reconstruct", "--json"]] {
        let turned = told(command, "turned.png", &[]);
        assert_eq!(turned, told(command, "upright.png", &[]), "{command:?}");
        assert_eq!(
            told(command, "turned.png", &["--no-exif"]),
            told(command, "stored.png", &[]),
            "{command:?}"
        );
        assert_ne!(turned, told(command, "stored.png", &[]), "{command:?}");
    }
    let edited = |image: &str, more: &[&str]| {
        let edit = ["edit", image, "--box", "0,0,1,0.5", "--seed", "1", "-q", "--force"];
        place.var(&[&edit, more].concat());
        place.picture("edited.png")
    };
    assert_eq!(edited("turned.png", &[]), edited("upright.png", &[]));
    assert_eq!(edited("turned.png", &["--no-exif"]), edited("stored.png", &[]));
    // The mask is turned as the image is.
    let half = [[255; 3 * 16], [0; 3 * 16]].concat().repeat(32);
    let mask = RgbImage::new(32, 32, half);
    write_png(&place.path("left.png"), &mask, &Default::default(), false).unwrap();
    fs::write(place.path("right.png"), with_orientation(&place.bytes("left.png"), 2)).unwrap();
    let masked = |mask: &str| {
        let edit = ["edit", "stored.png", "--mask", mask, "--seed", "1", "-q", "--force"];
        place.var(&edit);
        place.picture("edited.png")
    };
    assert_eq!(masked("left.png"), edited("stored.png", &[]));
    assert_ne!(masked("right.png"), masked("left.png"));

    for (folder, tokens) in [("with", "with.tokens"), ("without", "without.tokens")] {
        place.var(&[
            "tokenize",
            "--vae",
            "built-in",
            folder,
            "-o",
            tokens,
            "--mid-reso",
            "1",
            "-q",
        ]);
    }
    assert_eq!(rows("with.tokens"), rows("without.tokens"));
    assert_eq!(rows("with.tokens")[0], *of_stored);
}

#[test]
fn edit_keeps_what_it_does_not_make() {
    let place = Place::new();
    let image = &sampled(&place)[2];
    place.var(&["encode", image, "-o", "whole", "-q"]);
    let whole = place.tokens("whole");
    let edit = |options: &[&str]| {
        let base =
            ["edit", image, "--seed", "5", "--class", "dress", "--count", "4", "--force", "-q"];
        place.var(&[&base[..], options, &["--tokens", "edited"]].concat());
        let edited = place.tokens("edited");
        assert_eq!(edited.labels(), Some(&[3; 4][..]));
        let rows = edited.tokens().chunks_exact(30);
        // Cells of the finest 4 × 4 map that every version has as the image has them.
        let kept =
            |cell: &usize| rows.clone().all(|row| row[14 + cell] == whole.tokens()[14 + cell]);
        assert!(rows.clone().all(|row| row[0] == whole.tokens()[0]), "the coarsest map is kept");
        (0..16).filter(kept).collect::<Vec<_>>()
    };
    let (left, right) = ([0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15]);
    // Cells made anew may come out as they were, so look only at those that must be kept and at
    // their number.
    let holds = |kept: &[usize], expected: &[usize]| {
        expected.iter().all(|cell| kept.contains(cell)) && kept.len() < 14
    };
    assert!(holds(&edit(&["--box", "0,0,1,0.5"]), &right));
    let tokens_by_box = place.tokens("edited");
    assert!(holds(&edit(&["--box", "0,0,1,0.5", "--outpaint"]), &left));
    let outpainted_by_box = place.tokens("edited");

    // A white left half means the same, at any size.
    let row: Vec<u8> = [[255; 3 * 50], [0; 3 * 50]].concat();
    let mask = RgbImage::new(100, 100, row.repeat(100));
    write_png(&place.path("mask.png"), &mask, &Default::default(), false).unwrap();
    edit(&["--mask", "mask.png"]);
    assert_eq!(place.tokens("edited"), tokens_by_box);
    edit(&["--mask", "mask.png", "--outpaint"]);
    assert_eq!(place.tokens("edited"), outpainted_by_box);

    let grid = place.picture("edited.png");
    assert_eq!((grid.width(), grid.height()), (66, 66));
    // --overlay: the kept half has the reconstruction's pixels, the other what was drawn.
    place.var(&["reconstruct", image, "-o", "own.png", "-q"]);
    let own = place.picture("own.png");
    edit(&["--box", "0,0,1,0.5", "--overlay"]);
    let overlaid = place.picture("edited.png");
    edit(&["--box", "0,0,1,0.5"]);
    let drawn = place.picture("edited.png");
    let half = |picture: &RgbImage, row: usize, right: bool| {
        let start = 3 * (row * picture.width() + if right { 16 } else { 0 });
        picture.rgb()[start..start + 3 * 16].to_vec()
    };
    for row in 0..32 {
        assert_eq!(half(&overlaid, row, true), half(&own, row, true), "row {row}");
        assert_eq!(half(&overlaid, row, false), half(&drawn, row, false), "row {row}");
    }
    assert_eq!(place.parameters("edited.png")["command"], "edit");
    let nothing = "--box: nothing to make anew: none of the 4 × 4 cells";
    place.refused(&["edit", image, "--box", "0,0,0.1,0.1"], 1, nothing);
    place.refused(&["edit", image], 2, "--box");
    place.refused(
        &["edit", image, "--box", "0,0,1,1", "--mask", "mask.png"],
        2,
        "cannot be used with",
    );
    place.refused(&["edit", image, "--box", "0,0,1"], 2, "wants 4 numbers y0,x0,y1,x1, got 3");
    place.refused(&["edit", image, "--box", "0,0,2,1"], 2, "2 is not in 0..=1");
}

#[test]
fn samples_of_a_class_are_likeliest_under_it() {
    let place = Place::new();
    let images = sampled(&place);
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let report = place.var(&[&["score", "--json"], &images[..]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    let right = (0..10).filter(|class| report[class]["most_likely"]["class"] == *class).count();
    assert!(right >= 7, "{right} of 10");
    for image in report.as_array().unwrap() {
        let classes = image["classes"].as_array().unwrap();
        assert_eq!(classes.len(), 10);
        for score in classes {
            let nats = score["log_likelihood_nats"].as_f64().unwrap();
            let bits = -nats / core::f64::consts::LN_2 / 30.0;
            assert!((score["bits_per_token"].as_f64().unwrap() - bits).abs() < 1e-12);
        }
    }
    let said = place.var(&["score", images[7], "--classes", "sneaker,-1"]);
    assert!(said.starts_with(&format!("{}: most likely sneaker\n", images[7])), "{said}");
    assert_eq!(said.lines().count(), 3, "{said}");
}

#[test]
fn pictures_of_one_name_are_not_mixed_up() {
    let place = Place::new();
    let image = &sampled(&place)[0];
    fs::create_dir(place.path("other")).unwrap();
    fs::copy(place.path(image), place.path("other/000000-class0.png")).unwrap();
    place.refused(&["reconstruct", image, "other/000000-class0.png"], 2, "would have one name");
}
