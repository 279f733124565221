//! `var train-vae` on a handful of images.

use core::time::Duration;
use std::fs;
use std::time::Instant;

use serde_json::Value;

use super::train::resume::kill_twenty_times;
#[cfg(unix)]
use super::train::signals;
use super::train::{assert_best, data, instead, log, timeless_log};
use super::{Place, fixture};
use crate::launch::ProcessGroup;

/// A small VQVAE for images of 32 × 32, with a discriminator and all that is random.
const SMALL: [&str; 34] = [
    "train-vae",
    "--data",
    "data",
    "--ch",
    "32",
    "--ch-mult",
    "1,1,1",
    "--blocks",
    "1",
    "--latent",
    "4",
    "--codes",
    "16",
    "--pn",
    "1_2_8",
    "--share-quant-resi",
    "2",
    "--disc-channels",
    "8",
    "--disc-start",
    "0.3",
    "--bs",
    "4",
    "--lr",
    "1e-3",
    "--seed",
    "3",
    "--log-every",
    "1",
    "--hflip",
    "--ema",
    "0.9",
    "--workers",
    "1",
];

fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SMALL[..], more].concat()
}

#[test]
fn run_leaves_what_it_promises() {
    let place = Place::new();
    data(&place);
    let said = place.var(&small(&["--ep", "4", "--out", "run", "--val-every", "2"]));
    assert!(said.contains("validation: PSNR") && said.contains("8 iterations"), "{said}");
    assert!(said.contains("training:   data/train: 8 images of 2 classes: ant, bee\n"), "{said}");
    assert!(
        said.contains("model:      16 codes of width 4, ladder 1_2_8, 32 channels\n"),
        "{said}"
    );
    let lines = log(&place, "run");
    let iterations: Vec<_> = lines.iter().filter(|line| line.get("psnr").is_some()).collect();
    assert_eq!(iterations.len(), 8);
    for key in ["iter", "epoch", "L1", "L2", "vq", "revived", "grad_norm", "lr", "images_per_s"] {
        assert!(iterations.iter().all(|line| line[key].is_number()), "{key}");
    }
    // The discriminator comes after 0.3 of the run.
    let heard = iterations.iter().map(|line| line.get("discriminator").is_some());
    assert_eq!(heard.collect::<Vec<_>>(), [[false; 2], [true; 2], [true; 2], [true; 2]].concat());
    assert!(iterations.iter().all(|line| line["use"].as_array().unwrap().len() == 3));
    let validations = lines.iter().filter(|line| line.get("val_psnr").is_some());
    assert_eq!(validations.map(|line| line["iter"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 7]);
    let names = place.names();
    for name in [
        "ckpt-last.safetensors",
        "ckpt-best.safetensors",
        "reconstructions-0000002.png",
        "reconstructions-0000008.png",
        "config.json",
        "log.jsonl",
    ] {
        assert!(names.contains(&format!("run/{name}")), "{name} is in {names:?}");
    }
    assert!(names.iter().any(|name| name.starts_with("run/events.out.tfevents.")), "{names:?}");
    assert_eq!(place.parameters("run/reconstructions-0000008.png")["command"], "train-vae");

    assert_best(&place, "run", "val_psnr", |value, best| value > best);

    // The checkpoint is a model, and one to train on.
    let model = ["--model", "run/ckpt-last.safetensors", "--json"];
    let image = ["reconstruct", "data/val/ant/0.png"];
    let printed = place.var(&[&image[..], &model].concat());
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert!(printed["mean_psnr_db"].is_number(), "{printed}");
    let sizes = ["--depth", "1", "--width", "64", "--bs", "4", "--iterations", "1"];
    let run = ["train", "--data", "data", "--vae", "run/ckpt-best.safetensors", "--out", "next"];
    place.var(&[&run[..], &sizes].concat());
}

#[test]
fn run_that_ends_in_a_streak_of_refused_updates_names_the_way_back() {
    let place = Place::new();
    data(&place);
    let run =
        ["--iterations", "20", "--save-every", "1", "--keep", "1", "--out", "run", "--wp", "0.5"];
    let run = [&small(&run)[..], &["--wp0", "1e-40", "--clip", "0", "--val-every", "2"]].concat();
    let output = place.command(&instead(run, "1e-3", "1e36")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("iterations in a row: go back to run/ckpt-1.safetensors"), "{said}");
    let back =
        ["--init-from", "run/ckpt-1.safetensors", "--out", "again", "--iterations", "2", "-q"];
    place.var(&small(&back));
    // A byte that changed since is seen, unless that is not wanted.
    let mut bytes = place.bytes("run/ckpt-1.safetensors");
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    fs::write(place.path("run/ckpt-1.safetensors"), bytes).unwrap();
    let back = instead(small(&back), "again", "damaged");
    let message = "run/ckpt-1.safetensors: damaged: its checksum is ";
    place.refused(&back, 1, message);
    place.var(&[&back[..], &["--no-verify"]].concat());
}

/// The first iteration has the losses of the weights that it began with.
#[test]
fn init_from_takes_the_weights_of_a_model() {
    let place = Place::new();
    data(&place);
    let run = |name: &'static str, more: &[&'static str]| {
        instead(small(&[&["--iterations", "4", "--out", name, "-q"], more].concat()), "0.9", "0")
    };
    place.var(&run("run", &[]));
    let checkpoint = "run/ckpt-last.safetensors";
    place.var(&["convert", "--model", checkpoint, "--dtype", "f32", "-o", "model", "-q"]);
    let losses = |name: &'static str, more: &[&'static str]| {
        place.var(&run(name, more));
        let first = &log(&place, name)[0];
        ["L1", "L2"].map(|key| first[key].as_f64().unwrap())
    };
    let random = losses("again", &[]);
    let from_state = losses("from-state", &["--init-from", "run/ckpt-last.safetensors"]);
    let from_model = losses("from-model", &["--init-from", "model"]);
    assert_eq!(from_model, from_state);
    let transformer = ["train", "--data", "data", "--vae", "model", "--depth", "1", "--bs", "4"];
    place.var(&[&transformer[..], &["--iterations", "1", "--out", "var", "-q"]].concat());
    let from_transformers = losses("from-var", &["--init-from", "var/ckpt-last.safetensors"]);
    assert_eq!(from_transformers, from_model);
    assert!(from_model != random, "{random:?}");
    // Another VQVAE, and no VQVAE.
    let fashion = fixture("fashion_reference.safetensors");
    for (file, message) in [
        (&fashion[..], "fashion_reference.safetensors: codes: the run wants 16, the file has 512"),
        (&fixture("pth/var_state_dict.pth"), "var_state_dict.pth: "),
    ] {
        place.refused(&small(&["--out", "refused", "--init-from", file]), 1, message);
        assert!(!place.path("refused/log.jsonl").exists());
    }
}

/// Ended by a signal and started again, it leaves the bytes of a run that was never broken.
#[cfg(unix)]
#[test]
fn signal_leaves_a_checkpoint_from_which_the_run_goes_on() {
    let place = Place::new();
    data(&place);
    let run = |name| small(&["--iterations", "10", "--out", name, "-q"]);
    place.var(&run("unbroken"));
    signals::end_after_lines(&place, &run("broken"), "broken", 2, ("INT", 130));
    place.var(&run("broken"));
    signals::assert_same_run(&place, "unbroken", "broken");
}

#[test]
fn kills_change_nothing() {
    let place = Place::new();
    data(&place);
    let run = |name| {
        let more = ["--iterations", "10", "--save-every", "1", "-q", "--out", name];
        small(&more)
    };
    let start = Instant::now();
    place.var(&run("unbroken"));
    let whole = start.elapsed();
    let killed = || place.command(&run("killed"));
    kill_twenty_times(killed, whole, Duration::from_secs(300));
    for name in ["ckpt-last.safetensors", "ckpt-best.safetensors", "reconstructions-0000010.png"] {
        let [one, other] = ["unbroken", "killed"].map(|run| place.bytes(&format!("{run}/{name}")));
        assert!(one == other, "{name} differs");
    }
    assert_eq!(timeless_log(&place, "unbroken"), timeless_log(&place, "killed"));
}

/// R02.
#[test]
fn ranks_of_other_options_are_refused_on_all() {
    let place = Place::new();
    data(&place);
    let run = |seed| place.command(&small(&["--out", "run", "--ep", "1", "--vq", seed]));
    for output in ProcessGroup::start([run("1"), run("2")]).wait(Duration::from_secs(60)) {
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let fault = "var: --vq: rank 0 has 1.0, rank 1 has 2.0: ranks of one run want the same";
        assert_eq!(said.lines().last(), Some(fault), "{said}");
    }
    assert!(!place.path("run").exists());
}

#[test]
fn two_ranks_are_one_of_twice_the_share() {
    let place = Place::new();
    data(&place);
    let run = |name| {
        let more = ["--iterations", "4", "--out", name, "-q", "--threads", "1"];
        instead(small(&more), "1e-3", "1e-4")
    };
    place.var(&run("alone"));
    let ranks = ProcessGroup::start([0, 1].map(|_| place.command(&run("together"))));
    for output in ranks.wait(Duration::from_secs(200)) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    let [alone, together] = ["alone", "together"].map(|run| log(&place, run));
    assert_eq!(alone.len(), together.len());
    for (alone, together) in alone.iter().zip(&together) {
        let [a, b] = [alone, together].map(|line| line.as_object().unwrap());
        assert!(a.keys().eq(b.keys()));
        // AdamW makes steps of full length of the rounding errors of gradients that should be 0, those
        // of a bias before a group norm say: values before the first step are the same, later ones
        // as far as such steps let them.
        let limit = if a["iter"] == 0 && a.contains_key("L2") { 1e-6 } else { 1e-2 };
        let known = |key: &&String| !["images_per_s", "use", "val_use"].contains(&key.as_str());
        for key in a.keys().filter(known) {
            let [a, b] = [&a[key], &b[key]].map(|value| value.as_f64().unwrap());
            assert!((a - b).abs() <= limit * a.abs().max(1.0), "{key}: {a} {b}");
        }
    }
}

#[test]
fn options_that_cannot_be_trained_are_refused() {
    let place = Place::new();
    data(&place);
    let more = |options: &[&'static str]| small(&[&["--out", "run"], options].concat());
    place.refused(&["train-vae", "--out", "run"], 2, "--data");
    place.refused(&["train-vae", "--data", "nowhere", "--out", "run"], 1, "nowhere");
    place.refused(&more(&["--ac", "3"]), 2, "--bs 4: no multiple of --ac 3");
    place.refused(&instead(more(&[]), "32", "40"), 2, "40 channels");
    place.refused(&instead(more(&[]), "1,1,1", "1,0"), 2, "--ch-mult");
    place.refused(&instead(more(&[]), "8", "12"), 2, "--disc-channels");
    place.refused(&instead(more(&[]), "2", "7"), 2, "--share-quant-resi 7: the ladder has 3");
    let lpips = more(&["--lpips", "nowhere.safetensors", "--lpips-min-side", "16"]);
    place.refused(&lpips, 1, "nowhere.safetensors");
    place.var(&more(&["--iterations", "1", "-q"]));
    let other = instead(more(&["--iterations", "1", "-q"]), "1e-3", "2e-3");
    place.refused(&other, 1, "--lr");
}
