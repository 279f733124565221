//! `var tokenize`: data sets in, a cache to train on out.

use std::fs;
use std::path::Path;

use var_host::data::{BatchCursor, BatchSampler, SamplerConfig, SamplerMode, TokenSet};
use var_host::images::{RgbImage, mirrored, write_png};
use var_host::tokens::MappedTokens;

use super::{Place as Folder, fixture};

/// Three classes of 32 × 32 images, cut from the fixtures: `data/CLASS/N.png`.
fn data(place: &Folder, folder: &str) {
    for (number, class) in ["ant", "bee", "ant", "cat", "ant"].iter().enumerate() {
        let source =
            RgbImage::open(Path::new(&fixture(&format!("pipeline_{number}.png")))).unwrap();
        let folder = place.path(folder).join(class);
        fs::create_dir_all(&folder).unwrap();
        let picture = var_host::images::crop(&source, 1, 2, 32, 32);
        write_png(&folder.join(format!("{number}.png")), &picture, &Default::default(), true)
            .unwrap();
    }
}

/// The images of [`data`] in their order.
const FILES: [&str; 5] = ["ant/0.png", "ant/2.png", "ant/4.png", "bee/1.png", "cat/3.png"];

fn rows(tokens: &[i32]) -> Vec<&[i32]> {
    tokens.chunks_exact(30).collect()
}

#[test]
fn center_crops_are_what_encode_makes_of_them() {
    let place = Folder::new();
    data(&place, "data");
    let said =
        place.var(&["tokenize", "--vae", "built-in", "data", "-o", "cache", "--mid-reso", "1"]);
    assert_eq!(said, "cache: 5 images of 3 classes, 1 × 30 tokens each\n");
    let files = FILES.map(|file| format!("data/{file}"));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    place.var(&[&["encode", "-o", "tokens"], &files[..]].concat());
    let cache = place.tokens("cache");
    assert_eq!(cache.tokens(), place.tokens("tokens").tokens());
    assert_eq!(cache.labels(), Some(&[0, 0, 0, 1, 2][..]));
    let mapped = MappedTokens::open(&place.path("cache")).unwrap();
    assert_eq!(mapped.classes().unwrap(), ["ant", "bee", "cat"]);
    place.refused(
        &["tokenize", "--vae", "built-in", "data", "-o", "cache"],
        1,
        "cache: exists already",
    );
    place.var(&["decode", "cache", "-o", "decoded/", "-q"]);
    assert_eq!(place.parameters("decoded/000004.png")["class"], "2");
}

/// A 24-bit bitmap.
fn bmp(picture: &RgbImage) -> Vec<u8> {
    let (width, height) = (picture.width(), picture.height());
    let header = |numbers: [u32; 10]| numbers.map(u32::to_le_bytes).concat();
    let info = header([40, width as u32, height as u32, 1 | 24 << 16, 0, 0, 0, 0, 0, 0]);
    let mut file = [&b"BM\0\0\0\0\0\0\0\0\x36\0\0\0"[..], &info].concat();
    for row in picture.rgb().rchunks(3 * width) {
        file.extend(row.chunks(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
        file.extend(&[0; 3][..width % 4]);
    }
    file
}

// D03: bitmaps and Netpbm are read, each known by its content; nothing is left out.
#[test]
fn pictures_of_other_formats_are_read() {
    let place = Folder::new();
    data(&place, "data");
    place.var(&["tokenize", "--vae", "built-in", "data", "-o", "as_png", "--mid-reso", "1", "-q"]);
    for file in FILES {
        let path = place.path("data").join(file);
        let picture = RgbImage::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let (width, height) = (picture.width(), picture.height());
        let (ending, bytes) = match file {
            "ant/2.png" => {
                let header = format!("P6 {width} {height} 255\n");
                ("PPM", [header.as_bytes(), picture.rgb()].concat())
            }
            // A bitmap that claims to be a TIFF.
            "ant/4.png" => ("tif", bmp(&picture)),
            _ => ("bmp", bmp(&picture)),
        };
        fs::write(path.with_extension(ending), bytes).unwrap();
    }
    let said =
        place.var(&["tokenize", "--vae", "built-in", "data", "-o", "as_others", "--mid-reso", "1"]);
    assert_eq!(said, "as_others: 5 images of 3 classes, 1 × 30 tokens each\n");
    let (png, others) = (place.tokens("as_png"), place.tokens("as_others"));
    assert_eq!((others.tokens(), others.labels()), (png.tokens(), png.labels()));
}

#[test]
fn variants_follow_each_other() {
    let place = Folder::new();
    data(&place, "data");
    let options = [
        "tokenize",
        "--vae",
        "built-in",
        "data",
        "--mid-reso",
        "1.125",
        "--crops",
        "3",
        "--flip",
        "-q",
        "-o",
    ];
    let expected = ["cache", "--batch", "1", "--workers", "0"];
    place.var(&[&options[..], &expected].concat());
    for more in [["--batch", "4", "--workers", "3"], ["--batch", "64", "--threads", "1"]] {
        place.var(&[&options[..], &["other"], &more].concat());
        assert_eq!(place.bytes("other"), place.bytes("cache"), "{more:?}");
        fs::remove_file(place.path("other")).unwrap();
    }
    place.var(&[&options[..], &["other", "--seed", "6"]].concat());
    assert_ne!(place.bytes("other"), place.bytes("cache"));

    let cache = MappedTokens::open(&place.path("cache")).unwrap();
    assert_eq!((cache.images(), cache.variants()), (30, 6));
    let set = TokenSet::open(&place.path("cache"), 512).unwrap();
    assert_eq!((set.pictures(), set.classes()), (5, 3));
    let batching = SamplerConfig {
        pass: SamplerMode::Training,
        batch: 5,
        rank: 0,
        ranks: 1,
        seed: 1,
        shuffle: true,
    };
    let plan = BatchSampler::new(5, batching).unwrap();
    let start = BatchCursor { epoch: 0, batch: 0 };
    for batch in set.batches(&plan, start, 20).unwrap() {
        let mut labels = batch.labels;
        labels.sort_unstable();
        assert_eq!(labels, [0, 0, 0, 1, 2]);
        assert_eq!(batch.tokens.len(), 5 * 30);
    }
}

#[test]
fn mirrored_crop_has_the_tokens_of_its_mirror_image() {
    let place = Folder::new();
    data(&place, "data");
    place.var(&[
        "tokenize",
        "--vae",
        "built-in",
        "data",
        "-o",
        "cache",
        "--mid-reso",
        "1",
        "--flip",
        "-q",
    ]);
    for file in FILES {
        let picture = mirrored(&place.picture(&format!("data/{file}")));
        let path = place.path("data").join(file);
        write_png(&path, &picture, &Default::default(), true).unwrap();
    }
    place.var(&[
        "tokenize",
        "--vae",
        "built-in",
        "data",
        "-o",
        "turned",
        "--mid-reso",
        "1",
        "--flip",
        "-q",
    ]);
    let (cache, turned) = (place.tokens("cache"), place.tokens("turned"));
    for (plain, turned) in rows(cache.tokens()).chunks(2).zip(rows(turned.tokens()).chunks(2)) {
        assert_eq!((plain[0], plain[1]), (turned[1], turned[0]));
        assert_ne!(plain[0], plain[1]);
    }
}

#[test]
fn train_and_val_share_their_classes() {
    let place = Folder::new();
    data(&place, "data/train");
    fs::create_dir_all(place.path("data/val/bee")).unwrap();
    fs::copy(place.path("data/train/bee/1.png"), place.path("data/val/bee/9.png")).unwrap();
    place.var(&["tokenize", "--vae", "built-in", "data", "-o", "train", "-q"]);
    place.var(&["tokenize", "--vae", "built-in", "data", "-o", "again", "--split", "train", "-q"]);
    place.var(&["tokenize", "--vae", "built-in", "data/train", "-o", "alone", "-q"]);
    assert_eq!(place.bytes("train"), place.bytes("again"));
    assert_eq!(place.bytes("train"), place.bytes("alone"));
    place.var(&["tokenize", "--vae", "built-in", "data", "-o", "val", "--split", "val", "-q"]);
    let (train, val) = (place.tokens("train"), place.tokens("val"));
    assert_eq!(val.labels(), Some(&[1][..]));
    assert_eq!(rows(val.tokens())[0], rows(train.tokens())[3]);
    fs::rename(place.path("data/val/bee"), place.path("data/val/bees")).unwrap();
    let message = "data/val: no class is called \"bees\", the 3 classes are others";
    place.refused(
        &["tokenize", "--vae", "built-in", "data", "-o", "new", "--split", "val"],
        1,
        message,
    );
}

#[test]
fn broken_images_are_left_out() {
    let place = Folder::new();
    data(&place, "data");
    place.var(&["tokenize", "--vae", "built-in", "data", "-o", "whole", "-q"]);
    let bytes = place.bytes("data/ant/2.png");
    fs::write(place.path("data/ant/2.png"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(place.path("data/cat/x.jpg"), "").unwrap();
    let output = place
        .command(&["tokenize", "--vae", "built-in", "data", "-o", "cache", "--batch", "2"])
        .output();
    let output = output.unwrap();
    let warned = super::faults(&output);
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = "cache: 4 images of 3 classes, 1 × 30 tokens each, \
                    2 that cannot be read left out\n";
    assert_eq!(said, expected);
    let lines: Vec<&str> = warned.lines().collect();
    assert!(lines[0].starts_with("var: data/ant/2.png: damaged PNG"), "{warned}");
    assert!(lines[1].starts_with("var: data/cat/x.jpg: is not a PNG"), "{warned}");
    assert!(lines.len() == 2 && lines.iter().all(|line| line.ends_with(": left out")), "{warned}");
    let (whole, cache) = (place.tokens("whole"), place.tokens("cache"));
    assert_eq!(cache.labels(), Some(&[0, 0, 1, 2][..]));
    let mut expected = rows(whole.tokens());
    expected.remove(1);
    assert_eq!(rows(cache.tokens()), expected);

    for file in ["ant/0.png", "ant/4.png", "bee/1.png", "cat/3.png"] {
        fs::write(place.path("data").join(file), "").unwrap();
    }
    let message = "data: none of its 6 images can be read; the first, data/ant/0.png: is not a";
    place.refused(&["tokenize", "--vae", "built-in", "data", "-o", "new", "-q"], 1, message);
}

#[test]
fn folders_that_are_no_data_set_are_refused() {
    let place = Folder::new();
    fs::create_dir_all(place.path("data/ant")).unwrap();
    fs::write(place.path("data/ant/notes.txt"), "").unwrap();
    for (options, code, message) in [
        (&["none"][..], 1, "cannot read the folder none"),
        (&["data"], 1, "data: no images (png, jpg, jpeg, webp, bmp, "),
        (&["data/ant"], 1, "data/ant: wants a folder for each class, has none"),
        (&["data", "--split", "val"], 1, "cannot read the folder data/train"),
        (&["data", "--split", "test"], 2, "possible values: train, val"),
        (&["data", "--crops", "0"], 2, "0 is not in 1..=1000"),
        (&["data", "--mid-reso", "0.9"], 2, "0.9 is not in 1..=16"),
        (&["data", "--batch", "0"], 2, "0 is not in 1..=4096"),
        (&["data", "--seed", "-1"], 2, "--seed"),
    ] {
        place.refused(
            &[&["tokenize", "--vae", "built-in", "-o", "out"], options].concat(),
            code,
            message,
        );
    }
    place.refused(
        &["tokenize", "--vae", "built-in", "data", "-o", "none/out"],
        1,
        "cannot write none/out",
    );
    place.refused(&["tokenize", "--vae", "built-in", "data"], 2, "--output <FILE>");
}

#[cfg(unix)]
#[test]
fn interrupted_run_leaves_nothing() {
    use core::time::Duration;
    use std::process::Command;
    use std::thread;
    use std::time::Instant;

    let place = Folder::new();
    data(&place, "data");
    let picture = place.bytes("data/bee/1.png");
    for number in 0..400 {
        fs::write(place.path(&format!("data/bee/more{number}.png")), &picture).unwrap();
    }
    let options =
        ["tokenize", "--vae", "built-in", "data", "-o", "out/cache", "--crops", "1000", "-q"];
    fs::create_dir(place.path("out")).unwrap();
    let mut child = place.command_that_signals_end(&options).spawn().unwrap();
    let begun = Instant::now();
    let there = || fs::read_dir(place.path("out")).unwrap();
    // Not merely the attempt whether a file can be written.
    let size = |entry: std::io::Result<fs::DirEntry>| entry?.metadata().map(|file| file.len());
    while !there().any(|entry| size(entry).is_ok_and(|size| size > 100_000)) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is written");
        thread::sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(there().count(), 0);
}
