//! `var train` and `var validate` on a handful of images with the small model's VQVAE.

mod data;
mod faults;
mod ranks;
pub(super) mod resume;
#[cfg(unix)]
pub(super) mod signals;

use std::fs;
use std::path::Path;

use serde_json::Value;
use var_host::checkpoint::Checkpoint;
use var_host::images::{RgbImage, crop, write_png};

use super::{Place, fixture};

/// Eight different images of two classes to learn from, and four of them to validate on.
pub(super) fn data(place: &Place) {
    pictures(place, |number| ["ant", "bee"][number % 2].to_owned());
}

/// The same images in classes of their own.
fn pictures(place: &Place, class: impl Fn(usize) -> String) {
    for number in 0..8 {
        let name = fixture(&format!("pipeline_{}.png", number % 5));
        let source = RgbImage::open(Path::new(&name)).unwrap();
        let picture = crop(&source, number, number, 32, 32);
        for (part, most) in [("train", 8), ("val", 4)] {
            if number < most {
                let folder = place.path("data").join(part).join(class(number));
                fs::create_dir_all(&folder).unwrap();
                let path = folder.join(format!("{number}.png"));
                write_png(&path, &picture, &Default::default(), true).unwrap();
            }
        }
    }
}

/// A small model, and everything that is random switched on.
const SMALL: [&str; 22] = [
    "train",
    "--vae",
    "built-in",
    "--data",
    "data",
    "--depth",
    "2",
    "--width",
    "64",
    "--bs",
    "4",
    "--tblr",
    "0.05",
    "--seed",
    "3",
    "--log-every",
    "1",
    "--hflip",
    "--drop-path",
    "0.2",
    "--ema",
    "0.9",
];

fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SMALL[..], more].concat()
}

/// The options with another value in the place of `from`.
pub(super) fn instead<'a>(options: Vec<&'a str>, from: &str, to: &'a str) -> Vec<&'a str> {
    let options = options.into_iter().map(|option| if option == from { to } else { option });
    options.collect()
}

pub(super) fn log(place: &Place, run: &str) -> Vec<Value> {
    let text = fs::read_to_string(place.path(run).join("log.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The same without times.
pub(super) fn timeless_log(place: &Place, run: &str) -> Vec<Value> {
    let mut lines = log(place, run);
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("images_per_s");
    }
    lines
}

/// Fails unless `ckpt-best` is of the iteration with the best value of the log, the first of equals.
#[track_caller]
pub(super) fn assert_best(place: &Place, run: &str, key: &str, better: fn(f64, f64) -> bool) {
    let mut best: Option<(f64, u64)> = None;
    for line in log(place, run) {
        let Some(value) = line[key].as_f64() else { continue };
        if best.is_none_or(|(best, _)| better(value, best)) {
            best = Some((value, line["iter"].as_u64().unwrap() + 1));
        }
    }
    let saved = Checkpoint::open(place.path(run).join("ckpt-best.safetensors")).unwrap();
    assert_eq!(saved.metadata()["iteration"], best.unwrap().1.to_string());
}

/// All tensors of a run's last checkpoint that begin with `prefix`, one after the other.
fn weights(place: &Place, run: &str, prefix: &str) -> Vec<f32> {
    let checkpoint = Checkpoint::open(place.path(run).join("ckpt-last.safetensors")).unwrap();
    let names: Vec<String> = checkpoint
        .tensors()
        .filter(|tensor| tensor.name.starts_with(prefix))
        .map(|tensor| tensor.name.to_owned())
        .collect();
    assert!(!names.is_empty(), "{prefix} is in the checkpoint");
    names.iter().flat_map(|name| checkpoint.tensor(name).unwrap().to_f32()).collect()
}

#[test]
fn eight_images_are_learned_by_heart() {
    let place = Place::new();
    // Each a class of its own: nothing else tells the first token.
    pictures(&place, |number| number.to_string());
    let options = [
        "train",
        "--vae",
        "built-in",
        "--data",
        "data",
        "--depth",
        "2",
        "--width",
        "128",
        "--bs",
        "8",
        "--tblr",
        "0.1",
        "--iterations",
        "200",
        "--aug",
        "center",
        "--mid-reso",
        "1",
        "--cond-drop",
        "0",
        "--drop-path",
        "0",
        "--twd",
        "0",
        "--alng",
        "0.1",
        "--hd",
        "0.5",
        "--out",
        "run",
        "--log-every",
        "20",
        "--sample-every",
        "0",
        "--val-every",
        "0",
    ];
    place.var(&options);
    let lines = log(&place, "run");
    let last = lines.iter().rev().find(|line| line.get("L_mean").is_some()).unwrap();
    let loss = last["L_mean"].as_f64().unwrap();
    assert!(loss < 0.05, "loss {loss} after 200 iterations");
    // The images to validate on are among them. Audit 6: they are cut as those that were learned from.
    let printed = place.var(&[
        "validate",
        "--model",
        "run/ckpt-last.safetensors",
        "--data",
        "data",
        "--json",
    ]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["images"], 4);
    assert!(printed["L_mean"].as_f64().unwrap() < 0.05, "{printed}");
    assert!(printed["acc_tail"].as_f64().unwrap() > 99.0, "{printed}");
}

#[test]
fn run_leaves_what_it_promises() {
    let place = Place::new();
    data(&place);
    let said = place.var(&small(&[
        "--ep",
        "4",
        "--out",
        "run",
        "--sample-every",
        "2",
        "--val-every",
        "2",
        "--keep",
        "3",
    ]));
    assert!(said.contains("ckpt-last.safetensors: 8 iterations"), "{said}");
    // Audit 5: the inputs of the run.
    for line in [
        "training:   data/train: 8 images of 2 classes: ant, bee\n",
        "validation: data/val: 4 images of 2 classes: ant, bee\n",
        "images:     32 × 32, the shorter side resized to 36, cut anywhere, mirrored every other time\n",
        "/fashion_reference.safetensors: 512 codes of width 16, ladder 1_2_3_4, digest ",
        "model:      depth 2, width 64, 1 head, 2 classes\n",
    ] {
        assert!(said.contains(line), "{line} is not in:\n{said}");
    }
    let lines = log(&place, "run");
    let iterations: Vec<_> = lines.iter().filter(|line| line.get("L_mean").is_some()).collect();
    assert_eq!(iterations.len(), 8);
    for key in [
        "iter",
        "epoch",
        "L_mean",
        "L_tail",
        "acc_mean",
        "acc_tail",
        "grad_norm",
        "lr",
        "wd",
        "images_per_s",
        "loss_scale",
    ] {
        assert!(iterations.iter().all(|line| line[key].is_number()), "{key}");
    }
    let validations = lines.iter().filter(|line| line.get("val_L_mean").is_some());
    assert_eq!(validations.map(|line| line["iter"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 7]);
    let names = place.names();
    for name in [
        "ckpt-last.safetensors",
        "ckpt-best.safetensors",
        "ckpt-6.safetensors",
        "samples-0000004.png",
        "samples-0000008.png",
        "config.json",
        "log.jsonl",
    ] {
        let has = names.iter().any(|has| {
            has == &format!("run/{name}") || (name == "ckpt-6.safetensors" && has.contains("06.s"))
        });
        assert!(has, "{name} is in {names:?}");
    }
    assert_best(&place, "run", "val_L_tail", |value, best| value < best);
    // The checkpoint is a model.
    place.var(&["sample", "--model", "run/ckpt-last.safetensors", "--class", "bee", "-o", "a.png"]);
    let printed = place.var(&[
        "validate",
        "--model",
        "run/ckpt-last.safetensors",
        "--data",
        "data",
        "--batch",
        "1",
        "--json",
    ]);
    let again = place.var(&[
        "validate",
        "--model",
        "run/ckpt-last.safetensors",
        "--data",
        "data",
        "--batch",
        "3",
        "--json",
    ]);
    assert_eq!(printed, again);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let last = lines.last().unwrap();
    assert_eq!(printed["L_mean"], last["val_L_mean"]);
    assert_eq!(printed["acc_tail"], last["val_acc_tail"]);
}

#[test]
fn half_precision_is_close_and_keeps_its_scale() {
    let place = Place::new();
    data(&place);
    let run = |name: &str, fp16: &str| {
        let options = small(&["--iterations", "6", "--out", name, "--fp16", fp16]);
        place.var(&instead(options, "0.05", "1e-3"));
        log(&place, name)
    };
    let full = run("full", "0");
    for (name, fp16, scale, apart) in [("f16", "1", 2048.0, 2e-3), ("bf16", "2", 1.0, 2e-2)] {
        let half = run(name, fp16);
        let mut other = false;
        for (half, full) in half.iter().zip(&full).filter(|(_, full)| full.get("L_mean").is_some())
        {
            let [half_loss, loss] = [half, full].map(|line| line["L_mean"].as_f64().unwrap());
            assert!((half_loss - loss).abs() < apart, "{name}: {half_loss} {loss}");
            other |= half_loss != loss;
            assert_eq!(half["loss_scale"], scale, "{name}");
        }
        assert!(other, "{name} rounds");
    }
}

#[test]
fn recomputation_leaves_the_same_run() {
    let place = Place::new();
    data(&place);
    for (out, more) in [("kept", &[][..]), ("anew", &["--recompute"])] {
        let options = small(&["--iterations", "5", "-q", "--out", out]);
        place.var(&[&options[..], more].concat());
    }
    let checkpoint = |run| place.bytes(&format!("{run}/ckpt-last.safetensors"));
    assert!(checkpoint("kept") == checkpoint("anew"), "another checkpoint");
    // And a run may go on either way.
    let options = small(&["--iterations", "5", "-q", "--out", "kept", "--recompute"]);
    place.var(&options);
}

#[test]
fn coarse_scales_come_first_where_asked_for() {
    let place = Place::new();
    data(&place);
    place.var(&small(&[
        "--iterations",
        "12",
        "--out",
        "run",
        "--pg",
        "0.8",
        "--pg0",
        "1",
        "--wp",
        "0.5",
    ]));
    let lines = log(&place, "run");
    let scales: Vec<u64> = lines.iter().filter_map(|line| line["scales"].as_u64()).collect();
    assert_eq!((scales[0], scales[11]), (2, 4));
    assert!(scales.is_sorted() && scales.contains(&3), "{scales:?}");
    for line in lines.iter().filter(|line| line.get("L_mean").is_some()) {
        assert_eq!(line.get("L_tail").is_some(), line["scales"] == 4, "{line}");
    }
}
