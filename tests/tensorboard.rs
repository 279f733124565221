//! The events of a run, read by the Python package `tensorboard`: by that of the interpreter named in
//! `VAR_PYTHON`, else of `python3` if it has the package.

use std::env;
use std::process::Command;

use serde_json::{Value, json};
use var_host::images::{Parameters, RgbImage, png_bytes};
use var_host::run::Events;

/// Prints the scalars as [step, value] and the images as [step, width, height, bytes of the PNG].
const SCRIPT: &str = "
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'images': 0}).Reload()
tags = run.Tags()
print(json.dumps({
    'scalars': {tag: [[e.step, e.value] for e in run.Scalars(tag)] for tag in tags['scalars']},
    'images': {
        tag: [[e.step, e.width, e.height, list(e.encoded_image_string)] for e in run.Images(tag)]
        for tag in tags['images']
    },
}))
";

#[test]
fn package_reads_our_events() {
    let named = env::var_os("VAR_PYTHON");
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let has_package = Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !has_package.is_ok_and(|output| output.status.success()) {
        assert!(named.is_none(), "VAR_PYTHON: {} has no package tensorboard", python.display());
        eprintln!("left out: {} has no package tensorboard", python.display());
        return;
    }

    let folder = tempfile::tempdir().unwrap();
    let write = |resume_at: u64, end: u64, red: u8| {
        let mut events = Events::create(folder.path(), resume_at).unwrap();
        for step in resume_at..end {
            let loss = 8.0 + f32::from(red) - step as f32 / 4.0;
            events.scalars(step, [("train/L_mean", loss), ("lr", 0.0)]).unwrap();
        }
        let picture = RgbImage::filled(3, 2, [red, 0, 0]);
        events.picture(end - 1, "samples", &picture).unwrap();
        png_bytes(&picture, &Parameters::new()).unwrap()
    };
    // A run that was killed after step 4 and goes on from its checkpoint at step 2.
    write(0, 5, 1);
    let png = write(2, 4, 100);

    let output = Command::new(&python).args(["-c", SCRIPT]).arg(folder.path()).output().unwrap();
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{faults}");
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({
        "scalars": {
            "train/L_mean": [[0, 9.0], [1, 8.75], [2, 107.5], [3, 107.25]],
            "lr": [[0, 0.0], [1, 0.0], [2, 0.0], [3, 0.0]],
        },
        "images": { "samples": [[3, 3, 2, png]] },
    });
    assert_eq!(read, expected, "{faults}");
}
