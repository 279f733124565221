//! `var plot`: logs of training runs → charts.

use std::fs;

use serde_json::json;
use var_host::run::Log;

use super::{Place, fixture};

/// Writes the log of a run of `length` iterations.
fn log(place: &Place, run: &str, length: u64) {
    fs::create_dir_all(place.path(run)).unwrap();
    let mut log = Log::open(&place.path(run), 0).unwrap();
    for iter in 0..length {
        let loss = 6.0 / (1.0 + iter as f64 / 50.0);
        let loss = if iter == 3 { f64::NAN } else { loss };
        log.append(&json!({"iter": iter, "epoch": 0, "L_mean": loss, "lr": 1e-4})).unwrap();
        if iter % 20 == 19 {
            let usage = json!({"1": 0.5, "2": 0.75});
            log.append(&json!({"iter": iter, "val_L_mean": loss * 1.1, "usage": usage})).unwrap();
        }
    }
}

#[test]
fn runs_become_one_chart() {
    let place = Place::new();
    log(&place, "first", 100);
    log(&place, "second", 60);
    let said = place.var(&["plot", "first", "second/log.jsonl", "-o", "chart.svg"]);
    assert_eq!(said, "chart.svg: L_mean, usage.1, usage.2, lr of 168 lines\n");
    let svg = String::from_utf8(place.bytes("chart.svg")).unwrap();
    for text in ["first", "second/log.jsonl", "validation", "L_mean", "usage.2", "iteration"] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text}");
    }
    place.var(&["plot", "first", "--smooth", "0.9", "--log-y", "-q", "-o", "chart.png"]);
    let chart = place.picture("chart.png");
    assert_eq!((chart.width(), chart.height()), (1920, 1244));
    assert_eq!(place.parameters("chart.png")["command"], "plot");
    // It overwrites its own charts.
    for name in ["chart.svg", "chart.png"] {
        let before = place.bytes(name);
        place.var(&["plot", "first", "--keys", "lr", "-q", "-o", name]);
        assert_ne!(place.bytes(name), before);
    }
}

#[test]
fn runs_that_cannot_be_plotted_are_told() {
    let place = Place::new();
    log(&place, "run", 10);
    fs::create_dir(place.path("new")).unwrap();
    fs::create_dir(place.path("empty")).unwrap();
    fs::write(place.path("empty/log.jsonl"), "{\"iter\": 0, \"L_me").unwrap();
    fs::write(place.path("damaged"), "{\"iter\":0}\n{\"iter\":1,}\n{\"iter\":2}\n").unwrap();
    fs::write(place.path("own.svg"), "<svg/>\n").unwrap();
    for (options, code, message) in [
        (&["new", "-o", "c.svg"][..], 1, "cannot read new/log.jsonl: No such file"),
        (&["none", "-o", "c.svg"], 1, "cannot read none: No such file"),
        (&["empty", "-o", "c.svg"], 1, "empty/log.jsonl: nothing is logged yet"),
        (&["damaged", "-o", "c.svg"], 1, "damaged: line 2 is no record of a run: "),
        (&["run", "damaged", "-o", "c.svg"], 1, "damaged: line 2"),
        (&["run", "-o", "own.svg"], 1, "own.svg: exists already; --force overwrites it"),
        (&["run", "-o", "none/c.svg"], 1, "cannot write none/c.svg"),
        (&["run", "-o", "c.jpg"], 2, "-o c.jpg: wants a .svg or .png file"),
        (&["run", "--keys", "x", "-o", "c.svg"], 1, "--keys x: no run has it; there are L_mean, "),
        (&["run", "--smooth", "1", "-o", "c.svg"], 2, "'--smooth <SHARE>': 1 is not in 0..1"),
        (&["-o", "c.svg"], 2, "<RUN>"),
        (&["run"], 2, "--output <FILE>"),
    ] {
        place.refused(&[&["plot"], options].concat(), code, message);
    }
    place.var(&["plot", "run", "-o", "own.svg", "--force", "-q"]);
}

#[test]
fn curves_of_the_readme_are_what_is_drawn() {
    let place = Place::new();
    let of_transformer = "L_mean,L_tail,acc_mean,lr";
    for (folder, runs, chart, keys) in [
        ("", &["training"][..], "training/curves.svg", of_transformer),
        ("default/", &["var"], "default/var.svg", of_transformer),
        ("default/", &["vae"], "default/vae.svg", "psnr,L1,vq,lr"),
    ] {
        for run in runs {
            fs::create_dir(place.path(run)).unwrap();
            let log = format!("{run}/log.jsonl");
            fs::copy(fixture(&format!("{folder}{log}")), place.path(&log)).unwrap();
        }
        place.var(&[&["plot"], runs, &["--keys", keys, "-q", "-o", "curves.svg"]].concat());
        assert!(place.bytes("curves.svg") == fs::read(fixture(chart)).unwrap(), "{chart}");
    }
    // And the validations go where the text says.
    let validations = |run: &str, key: &str| -> Vec<f64> {
        let log = fs::read_to_string(place.path(run).join("log.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.filter_map(|line: serde_json::Value| line[key].as_f64()).collect()
    };
    let losses = validations("training", "val_L_mean");
    assert!(losses.len() == 4 && losses.is_sorted_by(|a, b| a > b), "{losses:?}");
    let losses = validations("var", "val_L_mean");
    assert!(losses.len() == 9 && losses[..6].is_sorted_by(|a, b| a > b), "{losses:?}");
    assert!(losses[6..].iter().all(|loss| (loss - 4.98).abs() < 0.01), "{losses:?}");
}
