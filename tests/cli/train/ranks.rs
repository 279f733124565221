//! Several processes that train one model.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use super::{Place, data, instead, log, small, weights};
use crate::launch::ProcessGroup;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn two_ranks_are_one_of_twice_the_share() {
    let place = Place::new();
    data(&place);
    let run = |name| {
        let options = small(&["--iterations", "6", "--out", name, "-q", "--threads", "1"]);
        instead(options, "0.05", "1e-3")
    };
    place.var(&run("alone"));
    let ranks = ProcessGroup::start([0, 1].map(|_| place.command(&run("together"))));
    for output in ranks.wait(LIMIT) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    let [alone, together] = ["alone", "together"].map(|run| weights(&place, run, "var."));
    let apart = alone.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart <= 1e-5, "{apart}");
    let losses = |run| -> Vec<f64> {
        log(&place, run).iter().filter_map(|line| line["L_mean"].as_f64()).collect()
    };
    let (alone, together) = (losses("alone"), losses("together"));
    assert_eq!(alone.len(), 6);
    for (a, b) in alone.iter().zip(&together) {
        assert!((a - b).abs() <= 1e-5, "{a} {b}");
    }
}

/// R02: no rank learns by another's seed, rate, smoothing or data.
#[test]
fn ranks_of_other_options_are_refused_on_all() {
    let place = Place::new();
    data(&place);
    let run = |more: &[&'static str]| place.command(&small(&[&["--out", "run"], more].concat()));
    let other = run(&["--ls", "0.1", "--cond-drop", "0.3", "--sche", "cos", "--workers", "2"]);
    let outputs = ProcessGroup::start([run(&[]), other]).wait(LIMIT);
    for output in outputs {
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let fault = said.lines().last().unwrap();
        let [start, end] = ["var: --cond-drop: rank 0 has 0.1", ": ranks of one run want the same"];
        assert!(fault.starts_with(start) && fault.ends_with(end), "{said}");
        for text in ["rank 1 has 0.3", "; --ls: rank 0 has 0", "; --sche: rank 0 has \"lin0\""] {
            assert!(fault.contains(text), "{text}: {said}");
        }
        assert!(!fault.contains("workers"), "{said}");
        assert!(
            said.lines().next().unwrap().ends_with(" of 2, from RANK and WORLD_SIZE"),
            "{said}"
        );
    }
    assert!(!place.path("run").exists());
}

#[test]
fn killed_rank_ends_the_other() {
    let place = Place::new();
    data(&place);
    let run = small(&[
        "--iterations",
        "100000",
        "--out",
        "run",
        "-q",
        "--threads",
        "1",
        "--save-every",
        "1",
        "--sample-every",
        "0",
        "--val-every",
        "0",
    ]);
    let mut ranks = ProcessGroup::start([0, 1].map(|_| place.command(&run)));
    let checkpoint = place.path("run/ckpt-last.safetensors");
    let start = Instant::now();
    while !checkpoint.exists() {
        assert!(start.elapsed() < LIMIT, "no checkpoint after {LIMIT:?}");
        thread::sleep(Duration::from_millis(20));
    }
    ranks.kill(1);
    let killed = Instant::now();
    let outputs = ranks.wait(LIMIT);
    assert!(killed.elapsed() < Duration::from_secs(30), "{:?}", killed.elapsed());
    let said = String::from_utf8_lossy(&outputs[0].stderr);
    assert_eq!(outputs[0].status.code(), Some(1), "{said}");
    assert!(said.contains("rank 1"), "{said}");
}
