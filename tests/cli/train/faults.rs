//! Runs that cannot begin or must not go on.

use std::fs;

use var_host::checkpoint::Checkpoint;

use super::{Place, data, instead, small};

#[test]
fn data_that_cannot_be_trained_on_are_refused() {
    let place = Place::new();
    data(&place);
    let out = ["--out", "run"];
    place.refused(&["train", "--out", "run"], 2, "--data");
    place.refused(
        &[&["train", "--vae", "built-in", "--data", "nowhere"], &out[..]].concat(),
        1,
        "nowhere",
    );
    fs::create_dir_all(place.path("empty/train")).unwrap();
    let message = "empty/train: wants a folder for each class, has none";
    place.refused(
        &[&["train", "--vae", "built-in", "--data", "empty"], &out[..]].concat(),
        1,
        message,
    );
    let more = |options: &[&'static str]| small(&[&out[..], options].concat());
    place.refused(&more(&["--bs", "100", "--ac", "1"]), 2, "cannot be used multiple times");
    let large = instead(more(&[]), "4", "100");
    place.refused(&large, 1, "wants at least 100 images for a batch, has 8");
    place.refused(&more(&["--ac", "3"]), 2, "--bs 4: no multiple of --ac 3");
    place.refused(&more(&["--classes", "1"]), 2, "--classes 1: the data has 2");
    place.refused(&more(&["--heads", "7"]), 2, "--depth, --width, --heads");
    let ladder = more(&["--pn", "1_2"]);
    place.refused_by(&mut place.command_as_typed(&ladder), 2, "--pn goes with --vae");
    place.refused(&more(&["--sche", "up"]), 2, "--sche");
    place.refused(&instead(more(&[]), "built-in", "data"), 1, "data");
    // Audit: never the built-in VQVAE unless it is named.
    let unnamed = ["train", "--data", "data", "--bs", "4", "--out", "run"];
    place.refused(&unnamed, 2, "give --vae FILE; --vae built-in takes that of the built-in model");
    fs::write(place.path("file"), "").unwrap();
    let options = small(&["--out", "file"]);
    place.refused(&options, 1, "file");
}

#[test]
fn one_class_will_do() {
    let place = Place::new();
    data(&place);
    fs::remove_dir_all(place.path("data/train/bee")).unwrap();
    fs::remove_dir_all(place.path("data/val")).unwrap();
    place.var(&small(&["--ep", "1", "--out", "run", "-q"]));
    place.refused(&["validate", "--data", "nowhere"], 1, "nowhere");
}

#[test]
fn run_that_ends_in_a_streak_of_refused_updates_names_the_way_back() {
    let place = Place::new();
    data(&place);
    // The first update is tiny, the second makes weights from which no gradient is finite.
    let run =
        ["--iterations", "20", "--save-every", "1", "--keep", "1", "--out", "run", "--wp", "5"];
    let run = [&small(&run)[..], &["--wp0", "1e-40", "--tclip", "0", "--val-every", "2"]].concat();
    let output = place.command(&instead(run, "0.05", "1e36")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("for 18 iterations in a row: go back to run/ckpt-1.safetensors"),
        "{said}"
    );
    let names = place.names();
    let kept: Vec<&String> = names.iter().filter(|name| name.contains("ckpt-")).collect();
    let want = ["run/ckpt-1.safetensors", "run/ckpt-2.safetensors", "run/ckpt-last.safetensors"];
    assert_eq!(kept, want);
    // The way that it names.
    let back =
        ["--init-from", "run/ckpt-1.safetensors", "--out", "again", "--iterations", "2", "-q"];
    place.var(&small(&back));
}

#[test]
fn gradients_that_are_not_finite_end_a_run_with_its_checkpoint_whole() {
    let place = Place::new();
    data(&place);
    let run = ["--iterations", "60", "--save-every", "1", "--out", "run", "--wp", "1"];
    // The rate rises to more than any weights bear.
    let options = instead(small(&run), "0.05", "1e38");
    let output = place.command(&options).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("gradients have not been finite for 30 iterations in a row"), "{said}");
    assert!(said.contains("weights left as they were"), "{said}");
    // The file is whole; its weights are not a model's any more.
    let last = "run/ckpt-last.safetensors";
    assert!(Checkpoint::open(place.path(last)).is_ok());
    place.refused(&["info", last], 1, "more than 1e9: damaged, or it has diverged");
}
