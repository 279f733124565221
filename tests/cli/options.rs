//! Options as people type them.

use std::fs;

use super::train::data;
use super::{Place, fixture, small_model};

/// The published training lines, with `var train` for `train.py`: the VQVAE is taken from the folder, as
/// there, and the run is in `local_output`.
#[test]
fn published_training_line_works_as_it_stands() {
    let place = Place::new();
    data(&place);
    fs::copy(small_model(), place.path("vae_ch160v4096z32.pth")).unwrap();
    let line = "train --depth=1 --bs=4 --ep=1 --fp16=1 --alng=1e-3 --wpe=0.1 --data_path=data --tfast=1 \
                --opt=adamw --hflip=True --saln=1 --anorm=True --sample_every=0 -q";
    let line: Vec<&str> = line.split_whitespace().collect();
    let output = place.command(&line).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let passed_over = "options of train.py that decide nothing here: --tfast (nothing is compiled at \
                       run time), --opt (the optimizer is AdamW)";
    assert_eq!(said.matches(passed_over).count(), 1, "{said}");
    place.var(&["info", "local_output/ckpt-last.safetensors"]);
    let config = String::from_utf8(place.bytes("local_output/config.json")).unwrap();
    assert!(config.contains("\"hflip\": true") && config.contains("\"saln\": 1"), "{config}");
    // Once more: it has ended, and says how to go on.
    let loud: Vec<&str> = line.into_iter().filter(|word| *word != "-q").collect();
    let said = place.var(&loud);
    assert!(said.contains("local_output: had ended already: a new run goes on"), "{said}");
}

/// U03: what is written where `-o` names an image, a folder, or another kind of file.
#[test]
fn output_is_of_the_kind_its_name_says() {
    let place = Place::new();
    let (image, other) = (fixture("pipeline_1.png"), fixture("pipeline_2.png"));
    let said = place.var(&["encode", &image, "-o", "one.st"]);
    assert_eq!(said, "one.st: 1 image of 30 tokens\n");
    assert_eq!(place.var(&["decode", "one.st", "-o", "one.png"]), "one.png: 1 image\n");
    assert_eq!(place.var(&["decode", "one.st", "-o", "one"]), "one: 1 image\n");
    assert!(place.picture("one.png") == place.picture("one/000000.png"));
    place.var(&["reconstruct", &image, "-o", "again.png", "-q"]);
    assert!(place.picture("again.png") == place.picture("one.png"));
    place.var(&["encode", &image, &other, "-o", "two.st", "-q"]);
    assert_eq!(place.var(&["decode", "two.st", "-o", "two.png"]), "two.png: 2 images\n");
    assert_eq!(place.picture("two.png").width(), 2 * 32 + 2);
    place.refused(&["decode", "two.st", "-o", "two.jpg"], 2, "-o two.jpg: wants a .png file");
    let several = "-o x.png: wants a folder for several images";
    place.refused(&["reconstruct", &image, &other, "-o", "x.png"], 2, several);
    place.refused(&["encode", &image, "-o", "x.png"], 2, "x.png: is the name of an image");
    let edit = ["edit", &image, "--box", "0,0,1,1", "-o"];
    place.refused(&[&edit[..], &["x.jpg"]].concat(), 2, "-o x.jpg: wants a .png file");
    // An image in the place of tokens.
    for command in
        [&["decode", &*image, "-o", "x/"][..], &["sample", "--from", &image, "--scales", "1"]]
    {
        place.refused(command, 1, "not a checkpoint");
    }
    // What the help calls the default.
    place.var(&["convert", "-o", "model", "--dtype", "q8", "-q"]);
    assert!(place.var(&["info", "model"]).contains("classes: aircraft, 🚀, angry face"));
    place.refused(&["convert", "--inception", "x", "--heads", "2", "-o", "y"], 2, "--heads");
}

/// `-q` hides what goes well.
#[test]
fn quiet_hides_no_warning() {
    let place = Place::new();
    data(&place);
    fs::write(place.path("data/train/ant/broken.png"), "no image").unwrap();
    let tokenize = ["tokenize", "data", "--vae", "built-in", "-o", "tokens", "-q"];
    let output = place.command(&tokenize).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{said}");
    assert!(said.contains("broken.png") && said.contains("left out"), "{said}");
}

/// Options that were typed and decide nothing beside the others.
#[test]
fn options_that_would_decide_nothing_are_refused() {
    let place = Place::new();
    let image = fixture("pipeline_1.png");
    for (line, message) in [
        ("sample --class -1 --cfg 3", "--cfg: guides to a class, and no image has one"),
        ("edit IMAGE --box 0,0,1,1 --cfg 3", "--cfg: guides to a class, and no image has one"),
        ("tokenize x --seed 1 -o t", "--seed: goes with --crops above 1"),
        ("validate --tokens x --mid-reso 1", "--mid-reso: goes with --data"),
        ("statistics IMAGE --inception IMAGE --side 8 -o x", "--side: goes with a folder"),
    ] {
        let line: Vec<&str> =
            line.split(' ').map(|word| if word == "IMAGE" { &*image } else { word }).collect();
        place.refused(&line, 2, message);
    }
}
