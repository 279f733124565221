//! `var scaling`: runs by formula, our own runs, and folders without a run.

use std::fs;

use serde_json::{Value, json};

use super::{Place, fixture};

/// A finished run of `depth` blocks with a loss that follows a law, scattered a little.
fn write_run(place: &Place, depth: u64, scatter: f64) {
    let folder = place.path(&format!("d{depth}"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), json!({"depth": depth, "width": 64 * depth}).to_string())
        .unwrap();
    let parameters = 18.0 * (depth * 64 * depth * 64 * depth) as f64;
    let loss = (2e-9 * parameters).powf(-0.2) * scatter;
    let error = (1e-3 * parameters).powf(-0.02);
    let lines = [
        json!({"iter": 1, "val_L_mean": 9.0, "val_L_tail": 9.0, "val_acc_mean": 0.1, "val_acc_tail": 0.1}),
        json!({"iter": 100, "L_mean": 5.0}),
        json!({"iter": 100, "val_L_mean": loss, "val_L_tail": 1.1 * loss,
               "val_acc_mean": 100.0 * (1.0 - error), "val_acc_tail": 100.0 * (1.0 - error)}),
    ];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(folder.join("log.jsonl"), lines).unwrap();
}

#[test]
fn law_of_runs_is_found_and_drawn() {
    let place = Place::new();
    let scatters = [(2, 1.01), (4, 0.99), (6, 1.0), (8, 0.995)];
    scatters.iter().for_each(|(depth, scatter)| write_run(&place, *depth, *scatter));
    let runs = ["scaling", "d4", "d2", "d8", "d6"];
    let report = place.var(&[&runs[..], &["-o", "plot.svg", "--json"]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    let depths: Vec<u64> = report["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["depth"].as_u64().unwrap())
        .collect();
    assert_eq!(depths, [2, 4, 6, 8]);
    let [loss, last, error, _] = &report["laws"].as_array().unwrap()[..] else {
        panic!("{report}")
    };
    assert_eq!(
        (&loss["measure"], &last["measure"]),
        (&"loss".into(), &"loss_of_last_scale".into())
    );
    let within = |law: &Value, key: &str, x: f64| {
        let [low, high] = [0, 1].map(|i| law[key][i].as_f64().unwrap());
        assert!(
            low <= x && x <= high && high - low < 0.1 * x.abs().max(0.3),
            "{key}: {low} to {high}"
        );
    };
    within(loss, "beta_interval", -0.2);
    within(last, "beta_interval", -0.2);
    assert!(loss["correlation"].as_f64().unwrap() < -0.99);
    assert!((error["beta"].as_f64().unwrap() + 0.02).abs() < 1e-9);
    assert!((error["alpha"].as_f64().unwrap() / 1e-3 - 1.0).abs() < 1e-6);

    let svg = String::from_utf8(place.bytes("plot.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("</svg>"));
    // A point for each run in each of four panels, and its depth; one in the legend.
    assert_eq!(svg.matches("<circle").count(), 16 + 1);
    assert_eq!(svg.matches("\nd8\n").count(), 4, "{svg}");
    assert!(svg.contains("\nloss, last scale\n") && svg.contains("\nErr = (1.00e−3·N)^−0.020\n"));

    let text = place.var(&runs);
    assert_eq!(text.lines().count(), 1 + 4 + 4, "{text}");
    // It overwrites its own charts, as an image too.
    place.var(&[&runs[..4], &["-o", "plot.svg"]].concat());
    assert_ne!(place.bytes("plot.svg"), svg.into_bytes());
    place.var(&[&runs[..], &["-o", "plot.png"]].concat());
    assert_eq!(place.parameters("plot.png")["command"], "scaling");
    fs::write(place.path("own.svg"), "<svg/>\n").unwrap();
    place.refused(&[&runs[..], &["-o", "own.svg"]].concat(), 1, "own.svg: exists already");
    let message = "-o plot.jpg: wants a .svg or .png file";
    place.refused(&[&runs[..], &["-o", "plot.jpg"]].concat(), 2, message);
}

/// The table and image of var-host's README are the command's output for the runs in the fixtures.
#[test]
fn readme_tells_the_law_of_our_own_runs() {
    let place = Place::new();
    let runs = ["d1", "d2", "d3", "d4"].map(|run| fixture(&format!("scaling/{run}")));
    let runs: Vec<&str> = runs.iter().map(String::as_str).collect();
    let arguments = [&["scaling", "-o", "scaling.svg", "--json"], &runs[..]].concat();
    let report: Value = serde_json::from_str(&place.var(&arguments)).unwrap();
    let readme = fs::read_to_string(fixture("../var-host/README.md")).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    for run in report["runs"].as_array().unwrap() {
        let measures: Vec<String> = run["measures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|x| format!("{:.4}", number(x)))
            .collect();
        let millions = number(&run["parameters"]) / 1e6;
        let row = format!("| d{} | {millions:.3} | {} |", run["depth"], measures.join(" | "));
        assert!(readme.contains(&row), "var-host/README.md has no {row}");
    }
    for (law, name) in report["laws"].as_array().unwrap().iter().zip([
        "loss, all scales",
        "loss, last scale",
        "error, all scales",
        "error, last scale",
    ]) {
        let [low, high] = [0, 1].map(|i| number(&law["beta_interval"][i]));
        let (alpha, beta) = (number(&law["alpha"]), number(&law["beta"]));
        let row = format!(
            "| {name} | {alpha:.2e} | {beta:.4} | {low:.4} to {high:.4} | {:.3} |",
            number(&law["correlation"])
        );
        assert!(readme.contains(&row), "var-host/README.md has no {row}");
    }
    assert!(readme.contains("<img src=\"../fixtures/scaling/scaling.svg\""));
    assert!(place.bytes("scaling.svg") == fs::read(fixture("scaling/scaling.svg")).unwrap());
}

#[test]
fn folders_that_are_no_run_are_refused() {
    let place = Place::new();
    (2..5).for_each(|depth| write_run(&place, depth, 1.0));
    place.refused(&["scaling", "d2", "d3"], 2, "2 runs: a fit with an interval wants at least 3");
    place.refused(&["scaling", "d2", "d2", "d2"], 1, "all runs have 589824 parameters");
    place.refused(&["scaling", "d2", "d3", "none", "-o", "a.svg"], 1, "none/config.json: ");
    fs::write(place.path("d4/log.jsonl"), "{\"iter\": 1}\n").unwrap();
    let message = "d4/log.jsonl: has no line with val_L_mean";
    place.refused(&["scaling", "d2", "d3", "d4", "-o", "a.svg"], 1, message);
}
