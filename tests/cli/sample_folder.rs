//! `var sample` into a folder: filled in several runs, of one run only.

use std::fs;

use var_host::images;

use super::refusals::{altered, record};
use super::sample::names;
use super::{Place, REFERENCE, small_model};

#[test]
fn interrupted_folder_is_filled_up() {
    let place = Place::new();
    let run = [&REFERENCE[..11], &["-o", "out"]].concat();
    fs::create_dir(place.path("out")).unwrap();
    assert_eq!(place.var(&run), "out: 10 images made, 0 were there already\n");
    let all: Vec<Vec<u8>> = names().iter().map(|name| place.bytes(name)).collect();
    let modified = |name: &str| fs::metadata(place.path(name)).unwrap().modified().unwrap();
    let before = modified(&names()[0]);
    for gone in [3, 8] {
        fs::remove_file(place.path(&names()[gone])).unwrap();
    }
    assert_eq!(place.var(&run), "out: 2 images made, 8 were there already\n");
    assert_eq!(names().iter().map(|name| place.bytes(name)).collect::<Vec<_>>(), all);
    assert_eq!(modified(&names()[0]), before, "kept, not written again");

    let other = [&run[..], &["--more-smooth"]].concat();
    let message = "000000-class0.png: was made with more_smooth false, wanted is true";
    place.refused(&other, 1, message);
    let message = "000000-class0.png: was made with class 0, wanted is 5";
    place.refused(
        &["sample", "--class", "5", "--cfg", "2", "--top-k", "100", "--top-p", "0.95", "-o", "out"],
        1,
        message,
    );
    assert_eq!(names().iter().map(|name| place.bytes(name)).collect::<Vec<_>>(), all);
    place.var(&[&other[..], &["--force"]].concat());
    assert_eq!(place.parameters(&names()[0])["more_smooth"], "true");
}

#[test]
fn two_runs_settings_do_not_mix_in_a_folder() {
    let place = Place::new();
    let rank = |rank: &str, options: &[&str]| {
        let run = ["sample", "--count", "4", "-q", "-o", "shared/"];
        let mut command = place.command(&[&run[..], options].concat());
        command.env("RANK", rank).env("WORLD_SIZE", "2");
        command
    };
    fs::copy(small_model(), place.path("copy")).unwrap();
    assert!(rank("0", &["--class", "3"]).status().unwrap().success());
    // The other process's images are others, its settings must be the same.
    for (options, message) in [
        (&["--class", "3", "--cfg", "2"][..], "was made with cfg 1.5, wanted is 2; take another"),
        (&["--class", "3", "--seed", "1"], "was made with seed 0, wanted is 1"),
        (&["--class", "4"], "was made with class 3, wanted is 4"),
        (&["--class", "3", "--reject", "2"], "was made with reject nothing, wanted is 2"),
        (
            &["--class", "3", "--model", "copy"],
            "was made with model fashion_reference.safetensors, wanted is copy",
        ),
    ] {
        place.refused_by(&mut rank("1", options), 1, message);
    }
    assert_eq!(place.names().len(), 1 + 3 + 2);
    // Those of a longer run count too.
    place.var(&["sample", "--class", "3", "--count", "6", "-q", "-o", "shared/"]);
    fs::remove_file(place.path("shared/000000-class3.png")).unwrap();
    let shorter = ["sample", "--class", "3", "--count", "1", "--top-k", "5", "-q", "-o", "shared/"];
    place.refused(&shorter, 1, "was made with top_k 900, wanted is 5");
}

// S02: another model of the same file name and, as far as images go, of the same sizes.
#[test]
fn folders_know_their_model_by_its_digest() {
    let place = Place::new();
    let run = ["sample", "--model", "model", "--class", "3", "--count", "2", "-q", "-o", "out/"];
    place.var(&["convert", "--model", &small_model(), "-o", "model", "-q"]);
    place.var(&run);
    let made = place.parameters("out/000000-class3.png");
    assert_eq!((made["model_digest"].len(), made["vae_digest"].len()), (64, 64));
    let convert = ["convert", "--model", &small_model(), "-o", "model", "--force"];
    place.var(&[&convert[..], &["--dtype", "bf16", "-q"]].concat());
    place.refused(&run, 1, "(the same weights in another precision)");
    altered(&place.path("other"), |records| {
        let zeros = || Ok(vec![0; 2 * 512 * 128].into());
        record(records, "var.blocks.1.ffn.fc1.weight").bytes = Box::new(zeros);
    });
    place.var(&["convert", "--model", "other", "-o", "model", "--force", "-q"]);
    let refused = "out/000000-class3.png: was made with model_digest ";
    place.refused(&run, 1, refused);
    fs::remove_file(place.path("out/000000-class3.png")).unwrap();
    fs::remove_file(place.path("out/000001-class3.png")).unwrap();
    place.refused(&run, 1, "out/: was made with model_digest ");
    place.var(&[&run[..], &["--force"]].concat());
    assert_ne!(place.parameters("out/000000-class3.png")["model_digest"], made["model_digest"]);

    // Audit 1 (b): nothing of a run before is packed.
    place.var(&["sample", "--class", "5", "--count", "1", "-q", "-o", "out/", "--force"]);
    place.var(&["pack", "out", "-o", "one.npz", "-q"]);
    fs::copy(place.path("out/000000-class5.png"), place.path("out/copy.png")).unwrap();
    place.refused(&["pack", "out", "-o", "two.npz"], 1, "copy.png: is not of the run that");
    place.var(&["pack", "out", "-o", "two.npz", "--any-run", "-q"]);
    // A folder of before there were manifests and digests.
    fs::create_dir(place.path("old")).unwrap();
    let mut old = place.parameters("out/000000-class5.png");
    old.retain(|key, _| {
        !key.contains("digest") && !["heads", "ladder", "precision"].contains(&&**key)
    });
    let picture = place.picture("out/000000-class5.png");
    images::write_png(&place.path("old/000000-class5.png"), &picture, &old, false).unwrap();
    let run = ["sample", "--class", "5", "--count", "2", "-o", "old"];
    let output = place.command(&run).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("old: 1 of the 1 image there do not say by a digest"), "{said}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "old: 1 image made, 1 was there already\n"
    );
}
