//! Inputs of a run: images, tokens, another model's weights.

use std::fs;

use serde_json::Value;

use super::{Place, data, instead, log, small, timeless_log, weights};

#[test]
fn tokens_are_as_good_as_pictures() {
    let place = Place::new();
    data(&place);
    place.var(&[
        "tokenize",
        "--vae",
        "built-in",
        "data",
        "-o",
        "train.tok",
        "--mid-reso",
        "1",
        "-q",
    ]);
    place.var(&[
        "tokenize",
        "--vae",
        "built-in",
        "data",
        "--split",
        "val",
        "-o",
        "val.tok",
        "--mid-reso",
        "1",
        "-q",
    ]);
    let both = [
        "train",
        "--vae",
        "built-in",
        "--depth",
        "1",
        "--width",
        "64",
        "--bs",
        "4",
        "--iterations",
        "4",
        "--log-every",
        "1",
        "--ac",
        "2",
        "-q",
    ];
    let pictures = ["--data", "data", "--aug", "center", "--mid-reso", "1", "--out", "pictures"];
    let tokens = ["--tokens", "train.tok", "--val-tokens", "val.tok", "--out", "tokens"];
    place.var(&[&both[..], &pictures].concat());
    place.var(&[&both[..], &tokens].concat());
    assert_eq!(timeless_log(&place, "pictures"), timeless_log(&place, "tokens"));
    assert!(weights(&place, "pictures", "var.") == weights(&place, "tokens", "var."));
    // Audit 6: how images were cut goes from tokens to the model, and from there to other commands.
    let model = ["--model", "tokens/ckpt-last.safetensors", "-q"];
    let validated = place.var(&[&["validate", "--data", "data", "--json"], &model[..]].concat());
    let validated: Value = serde_json::from_str(&validated).unwrap();
    let lines = log(&place, "tokens");
    let last = lines.iter().rev().find(|line| line.get("val_L_mean").is_some()).unwrap();
    assert_eq!(validated["L_mean"], last["val_L_mean"]);
    place.var(&[&["tokenize", "data", "-o", "again.tok"], &model[..]].concat());
    assert_eq!(place.tokens("again.tok").tokens(), place.tokens("train.tok").tokens());
    let score = |more: &[&'static str]| {
        place.var(&[&["score", "data/val/ant/0.png", "--json"], more, &model].concat())
    };
    assert_eq!(score(&[]), score(&["--mid-reso", "1"]));
    assert_ne!(score(&[]), score(&["--mid-reso", "1.5"]));
}

#[test]
fn threads_workers_and_instruction_sets_change_nothing() {
    let place = Place::new();
    data(&place);
    let run = |name: &str, more: &[&str]| {
        place.var(&small(&[&["--iterations", "3", "--out", name, "-q"], more].concat()));
        (timeless_log(&place, name), place.bytes(&format!("{name}/ckpt-last.safetensors")))
    };
    let first = run("a", &["--threads", "1", "--workers", "0"]);
    assert!(first == run("b", &["--threads", "3", "--workers", "2", "--isa", "portable"]));
}

#[test]
fn broken_pictures_are_told_of_and_replaced() {
    let place = Place::new();
    data(&place);
    fs::write(place.path("data/train/ant/broken.png"), "no image").unwrap();
    fs::write(place.path("data/val/bee/broken.jpg"), "").unwrap();
    let output = place.command(&small(&["--ep", "1", "--out", "run"])).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("broken.jpg") && said.contains("left out of the validation"), "{said}");
    assert_eq!(log(&place, "run").iter().filter(|line| line["L_mean"].is_number()).count(), 2);
}

#[test]
fn run_begins_with_another_models_weights() {
    let place = Place::new();
    data(&place);
    place.var(&small(&["--iterations", "2", "--out", "first", "-q"]));
    let first = "first/ckpt-last.safetensors";
    let more = ["--iterations", "1", "--wp0", "0", "--out", "more", "--init-from", first, "-q"];
    // A warm-up that begins with no rate at all: the first update moves nothing.
    place.var(&small(&[&more[..], &["--twd", "0", "--wp", "0.5"]].concat()));
    let [first_weights, more] = ["first", "more"].map(|run| weights(&place, run, "var."));
    // The average of equal numbers is rounded.
    let apart = first_weights.iter().zip(&more).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart <= 1e-6, "{apart}");
    let said = place.var(&small(&[
        "--iterations",
        "1",
        "--out",
        "wide",
        "--init-from",
        first,
        "--classes",
        "5",
    ]));
    assert!(said.contains("taken by name: 2 of 5 classes, new: 2, 3, 4"), "{said}");
    let options = small(&["--iterations", "1", "--out", "other", "--init-from", first]);
    let options = instead(options, "64", "128");
    let message = "width: the run wants 128, the file has 64";
    place.refused(&options, 1, message);
}

/// Rows of the class embedding of a run's last checkpoint.
fn class_rows(place: &Place, run: &str) -> Vec<Vec<f32>> {
    weights(place, run, "var.class_emb.weight").chunks(64).map(<[f32]>::to_vec).collect()
}

#[test]
fn run_begins_with_the_rows_of_classes_of_the_same_names() {
    let place = Place::new();
    data(&place);
    // Without an average, and without a rate: the weights stay as they were.
    let run = |out: &'static str, more: &[&'static str]| {
        let options = small(&[&["--out", out], more].concat());
        let options = instead(instead(options, "0.05", "0"), "0.9", "0");
        // Another seed, and other initial weights, for each run.
        let mut options = if out == "first" { options } else { instead(options, "3", "8") };
        options.extend(["--iterations", "1", "--sample-every", "0"]);
        place.var(&options)
    };
    run("first", &[]);
    fs::rename(place.path("data"), place.path("old")).unwrap();
    // bee is class 2 here, and aphid new.
    super::pictures(&place, |number| ["bee", "ant", "aphid"][number % 3].to_owned());
    let said = run("second", &["--init-from", "first/ckpt-last.safetensors"]);
    assert!(said.contains("taken by name: 2 of 3 classes, new: aphid"), "{said}");
    let (old, new) = (class_rows(&place, "first"), class_rows(&place, "second"));
    assert_eq!([&new[0], &new[2], &new[3]], [&old[0], &old[1], &old[2]]);
    assert!(!old.contains(&new[1]));
}
