//! Runs that are broken off, in every way.

use core::time::Duration;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use super::{Place, data, instead, small, timeless_log};

/// A short run with validations, samples and a checkpoint after every iteration.
fn run<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let run = [
        "--iterations",
        "14",
        "--save-every",
        "1",
        "--val-every",
        "2",
        "--sample-every",
        "3",
        "--keep",
        "2",
        "-q",
        "--out",
        name,
    ];
    small(&[&run[..], more].concat())
}

fn spawn(command: &mut Command) -> std::process::Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Starts a command of duration `whole` until it has been killed (or has ended) twenty times
/// and then ended by itself within `patience`.
///
/// Each lives for 0 to 0.4 of the whole run's time: some die at the start, some while writing, and none
/// does it all. A run that is done is taken up again: it must notice that.
pub(in crate::cli) fn kill_twenty_times(
    mut command: impl FnMut() -> Command,
    whole: Duration,
    patience: Duration,
) {
    let mut state = 0x9e37_79b9_u64;
    let (mut kills, mut ended) = (0, false);
    while kills < 20 || !ended {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let share = (state >> 40) as f64 / (1 << 24) as f64;
        let life = if kills < 20 { whole.mul_f64(0.4 * share) } else { patience };
        let mut child = spawn(&mut command());
        let deadline = Instant::now() + life;
        while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "after {kills} kills: {status}");
            ended = true;
        } else {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        kills += 1;
    }
}

#[test]
fn twenty_kills_change_nothing() {
    let place = Place::new();
    data(&place);
    let start = Instant::now();
    place.var(&run("unbroken", &[]));
    let whole = start.elapsed();
    let killed = || place.command(&run("killed", &[]));
    kill_twenty_times(killed, whole, Duration::from_secs(100));
    for name in ["ckpt-last.safetensors", "ckpt-best.safetensors", "samples-0000012.png"] {
        let [one, other] = ["unbroken", "killed"].map(|run| place.bytes(&format!("{run}/{name}")));
        assert!(one == other, "{name} differs");
    }
    assert_eq!(timeless_log(&place, "unbroken"), timeless_log(&place, "killed"));
    let left = place.names();
    let stray = left.iter().find(|name| name.contains(".tmp") || name.contains("partial"));
    assert_eq!(stray, None);
}

#[test]
fn damaged_checkpoint_falls_back_to_the_one_before() {
    let place = Place::new();
    data(&place);
    place.var(&run("unbroken", &[]));
    place.var(&run("damaged", &[]));
    let last = place.path("damaged/ckpt-last.safetensors");
    let mut bytes = fs::read(&last).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&last, &bytes).unwrap();
    let quiet = run("damaged", &[]);
    let loud: Vec<&str> = quiet.into_iter().filter(|option| *option != "-q").collect();
    let output = place.command(&loud).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("ckpt-last.safetensors") && said.contains("after 13 of 14"), "{said}");
    let [one, other] =
        ["unbroken", "damaged"].map(|run| place.bytes(&format!("{run}/ckpt-last.safetensors")));
    assert!(one == other, "the run ends otherwise");
}

#[test]
fn other_options_are_refused_by_name() {
    let place = Place::new();
    data(&place);
    place.var(&run("run", &[]));
    let other = instead(run("run", &[]), "0.9", "0.5");
    place.refused(&other, 1, "--ema");
    // Rare: a class that is called otherwise than at the start.
    for part in ["train", "val"] {
        let class = |name| place.path("data").join(part).join(name);
        fs::rename(class("bee"), class("wasp")).unwrap();
    }
    place.refused(&run("run", &[]), 1, "class 1: the run was started with \"bee\", now \"wasp\"");
    for part in ["train", "val"] {
        let class = |name| place.path("data").join(part).join(name);
        fs::rename(class("wasp"), class("bee")).unwrap();
    }
    fs::remove_file(place.path("data/train/ant/0.png")).unwrap();
    place.refused(&run("run", &[]), 1, "training-items");
}
