//! `var train-vae`: killed, resumed, run by two ranks, used by the other commands.

use core::time::Duration;
use std::fs;
use std::process::Stdio;
use std::thread;

use super::{Place, data, instead, log, timeless_log, weights};
use crate::launch::Ranks;

/// A tiny VQVAE of 16 × 16 pictures with everything switched on.
const TINY: &str = "train-vae --data data --ch 32 --ch-mult 1,1 --blocks 1 --latent 8 --codes 48 \
    --pn 1_3_8 --bs 4 --disc-channels 16 --disc-start 0.2 --lr 0.001 --seed 5 --hflip \
    --log-every 1 --val-every 2 --sample-every 2 --out";

fn tiny<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    TINY.split_whitespace().chain([name]).chain(more.iter().copied()).collect()
}

#[test]
fn kills_change_nothing() {
    let place = Place::new();
    data(&place);
    place.var(&tiny(
        "unbroken",
        &["--iterations", "8", "-q", "--save-every", "1", "--threads", "1"],
    ));
    let mut kills = 0;
    loop {
        let mut command =
            place.command(&tiny("killed", &["--iterations", "8", "-q", "--save-every", "1"]));
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = silent.spawn().unwrap();
        // Six short lives of different lengths, then one as long as it takes.
        let life = if kills < 6 { 150 + 130 * kills } else { 100_000 };
        for _ in 0..life {
            thread::sleep(Duration::from_millis(1));
            if child.try_wait().unwrap().is_some() {
                break;
            }
        }
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if let Some(status) = ended {
            assert!(status.success(), "after {kills} lives");
            break;
        }
        assert!(kills < 8, "the run never ends");
    }
    let file = |run: &str| place.bytes(&format!("{run}/ckpt-last.safetensors"));
    assert!(file("unbroken") == file("killed"), "the checkpoints differ");
    assert_eq!(timeless_log(&place, "unbroken"), timeless_log(&place, "killed"));
    let other = instead(tiny("killed", &["--iterations", "8"]), "5", "6");
    place.refused(&other, 1, "--seed");
}

#[test]
fn a_vqvae_serves_the_other_commands() {
    let place = Place::new();
    data(&place);
    place.var(&tiny("vae", &["--iterations", "8", "--keep", "1", "-q"]));
    let lines = log(&place, "vae");
    assert!(lines.iter().all(|line| line["iter"].is_u64()));
    let last = lines.iter().rev().find(|line| line["val_use"].is_array()).unwrap();
    assert_eq!(last["val_use"].as_array().unwrap().len(), 3);
    assert!(last["val_psnr"].as_f64().unwrap() > 3.0, "{last}");
    let checkpoint = "vae/ckpt-last.safetensors";
    place.var(&["reconstruct", "data/val/ant/0.png", "--model", checkpoint, "-o", "back/", "-q"]);
    place.var(&["convert", "--vae", checkpoint, "-o", "model", "-q"]);
    let train = [
        "train",
        "--data",
        "data",
        "--vae",
        checkpoint,
        "--depth",
        "1",
        "--width",
        "64",
        "--bs",
        "4",
        "--iterations",
        "2",
        "--out",
        "var",
        "-q",
    ];
    place.var(&train);
    place.var(&["sample", "--model", "var/ckpt-last.safetensors", "-q", "-o", "a.png"]);
    assert!(fs::metadata(place.path("a.png")).unwrap().len() > 0);
}

#[test]
fn two_ranks_are_one_of_twice_the_share() {
    let place = Place::new();
    data(&place);
    let run = |name| {
        let options = tiny(name, &["--iterations", "3", "-q", "--threads", "1"]);
        instead(options, "0.001", "0.00001")
    };
    place.var(&run("alone"));
    let ranks = Ranks::start([0, 1].map(|_| place.command(&run("together"))));
    for output in ranks.wait(Duration::from_secs(100)) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    let [alone, together] = ["alone", "together"].map(|run| weights(&place, run, "vae."));
    let apart = alone.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart <= 1e-4, "{apart}");
}

#[test]
fn what_cannot_be_trained_on_is_refused() {
    let place = Place::new();
    data(&place);
    place.refused(&instead(tiny("run", &[]), "data", "nowhere"), 1, "nowhere");
    place.refused(&instead(tiny("run", &[]), "32", "33"), 2, "--ch");
    place.refused(&instead(tiny("run", &[]), "1_3_8", "8_3"), 2, "--pn");
    place.refused(&tiny("run", &["--lpips", "nowhere.safetensors"]), 1, "nowhere.safetensors");
    place.refused(&tiny("run", &["--ac", "3"]), 2, "--ac");
}
