//! Class folders and class names.

use std::fs;
use std::path::Path;

use serde_json::Value;
use var_host::images::{RgbImage, crop, write_png};

use super::{Place, fixture, small_model};

/// An image of 32 × 32 at `path`; another `number`, another image.
fn picture(place: &Place, path: &str, number: usize) {
    let name = fixture(&format!("pipeline_{}.png", number % 5));
    let source = RgbImage::open(Path::new(&name)).unwrap();
    let path = place.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_png(&path, &crop(&source, number, number, 32, 32), &Default::default(), true).unwrap();
}

fn file(place: &Place, path: &str) {
    let path = place.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "x").unwrap();
}

/// Runs `var`, which must succeed; its stdout and stderr.
#[track_caller]
fn outputs(place: &Place, arguments: &[&str]) -> (String, String) {
    let output = place.command(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

const TOKENIZE: [&str; 4] = ["tokenize", "--vae", "built-in", "--mid-reso"];

/// D01, D02b: images below a class's folder are its images; folders without any are no classes.
#[test]
fn tokenize_walks_nested_class_folders() {
    let place = Place::new();
    for number in 0..4 {
        picture(&place, &format!("data/train/n01/images/{number}.png"), number);
        picture(&place, &format!("flat/train/n01/{number}.png"), number);
    }
    for number in 4..6 {
        picture(&place, &format!("data/train/n02/{number}.png"), number);
        picture(&place, &format!("flat/train/n02/{number}.png"), number);
    }
    picture(&place, "data/train/__MACOSX/n01/0.png", 0);
    picture(&place, "data/train/n02/@eaDir/4.png/SYNOPHOTO_THUMB_M.png", 0);
    for name in ["n01/n01_boxes.txt", "bird/notes.txt", "n02/._4.png", "n02/Thumbs.db"] {
        file(&place, &format!("data/train/{name}"));
    }
    let (said, warned) = outputs(&place, &[&TOKENIZE[..], &["1", "data", "-o", "nested"]].concat());
    assert_eq!(said, "nested: 6 images of 2 classes, 1 × 30 tokens each\n");
    let expected = "var: data/train: left out: folders without images, no classes: __MACOSX, bird; \
                    3 files of other kinds (2 .txt, 1 .db); 2 hidden";
    assert!(warned.lines().any(|line| line == expected), "{warned}");
    place.var(&[&TOKENIZE[..], &["1", "flat", "-o", "flat.tok"]].concat());
    assert_eq!(place.bytes("nested"), place.bytes("flat.tok"));
}

/// V01: folders and tokens are judged as the classes of the same names.
#[test]
fn validate_matches_classes_by_name() {
    let place = Place::new();
    for (folder, class) in [("two", "bag"), ("two", "coat"), ("other", "bag"), ("other", "zebra")] {
        for number in 0..2 {
            let number = number + class.len();
            picture(&place, &format!("{folder}/{class}/{number}.png"), number);
        }
    }
    fs::create_dir(place.path("two/zzz")).unwrap();
    file(&place, "two/__MACOSX/bag/._5.png");
    place.var(&[&TOKENIZE[..], &["1", "two", "-o", "two.tok", "-q"]].concat());
    let validated = |options: &[&str]| -> Value {
        let options = [&["validate", "--json", "-q"], options].concat();
        serde_json::from_str(&place.var(&options)).unwrap()
    };
    let folders = validated(&["--data", "two", "--mid-reso", "1"]);
    assert_eq!(folders["images"], 4);
    assert_eq!(folders, validated(&["--tokens", "two.tok"]));
    // Bag is class 8 and coat class 4: so `score` says the same.
    let mut nats = 0.0;
    for (class, number) in [("bag", 3), ("bag", 4), ("coat", 4), ("coat", 5)] {
        let image = format!("two/{class}/{number}.png");
        let scored = place.var(&["score", &image, "--classes", class, "--json", "-q"]);
        let scored: Value = serde_json::from_str(&scored).unwrap();
        assert_eq!(scored[0]["most_likely"]["class"], if class == "bag" { 8 } else { 4 });
        nats -= scored[0]["most_likely"]["log_likelihood_nats"].as_f64().unwrap();
    }
    let mean = folders["L_mean"].as_f64().unwrap();
    assert!((mean - nats / (4.0 * 30.0)).abs() < 1e-3, "{mean} {nats}");
    let message = "other: no class is called \"zebra\", the 10 classes are others";
    place.refused(&["validate", "--data", "other"], 1, message);
}

/// V01, U07: tokens to validate on go by name too; a model of 1000 classes without names has ImageNet's.
#[test]
fn models_of_a_thousand_classes_without_names_have_those_of_imagenet() {
    let place = Place::new();
    for class in ["n01440764", "n02099601"] {
        for number in 0..2 {
            picture(&place, &format!("data/{class}/{number}.png"), number);
        }
    }
    place.var(&["sample", "--class", "0-3", "--tokens", "unnamed", "-q", "-o", "a.png"]);
    let run = ["train", "--vae", "built-in", "--depth", "1", "--width", "64", "--bs", "4"];
    let more = ["--iterations", "1", "--sample-every", "0", "--out", "run", "--tokens", "unnamed"];
    place.var(&[&run[..], &more, &["--classes", "1000"]].concat());
    let model = ["--model", "run/ckpt-last.safetensors"];
    let sample =
        [&["sample", "--class", "golden retriever,tench", "-o", "b.png"][..], &model].concat();
    let (_, said) = outputs(&place, &sample);
    let expected = "the model does not name its 1000 classes: they are called as ImageNet's\n";
    assert_eq!(said.matches(expected).count(), 1, "{said}");
    assert_eq!(place.parameters("b.png")["class"], "207,0");
    // Their ids are names of folders.
    let options = |data: &[&'static str]| [&["validate", "--json"], data, &model].concat();
    let (ids, said) = outputs(&place, &options(&["--data", "data", "--mid-reso", "1"]));
    assert!(said.contains("they go by ImageNet's ids"), "{said}");
    place.var(&[&TOKENIZE[..], &["1", "data", "-o", "named", "-q"]].concat());
    assert_eq!(outputs(&place, &options(&["--tokens", "named"])).0, ids);
    fs::rename(place.path("data/n02099601"), place.path("data/retriever")).unwrap();
    let (_, said) = outputs(&place, &options(&["--data", "data", "--mid-reso", "1"]));
    assert!(said.contains("var: the model does not name its classes: those of data are"), "{said}");
    let (_, said) = outputs(&place, &options(&["--tokens", "unnamed"]));
    assert!(said.contains("var: unnamed: does not name its classes"), "{said}");
}

/// D04: numbers are labels, also where classes are called by numbers; names with commas are one class.
#[test]
fn sample_says_what_a_number_is_called() {
    let place = Place::new();
    let names = "0\n1\n10\n11\n2\n3\n4\n5\ntench, Tinca tinca\n7\n";
    fs::write(place.path("names.txt"), names).unwrap();
    let model = small_model();
    let convert = ["convert", "--model", &model, "--classes-file", "names.txt", "-o", "model"];
    place.var(&convert);
    let list = "2,tench, Tinca tinca,\"2\",1";
    let sample = ["sample", "--model", "model", "--class", list, "-o", "out/"];
    let (_, said) = outputs(&place, &sample);
    assert!(said.contains("class 2 is called 10, the class called 2 is 4"), "{said}");
    let names = place.names();
    let names: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("out/")).collect();
    let expected =
        ["000000-class2-10.png", "000001-class8.png", "000002-class4-2.png", "000003-class1.png"];
    let pictures: Vec<&str> = names.into_iter().filter(|name| name.ends_with(".png")).collect();
    assert_eq!(pictures, expected);
    // The folder is known again.
    let again = place.var(&sample);
    assert!(again.contains("0 images made, 4 were there already"), "{again}");
}

/// D04: folders called by numbers, as those of ImageNetV2, are the classes of these numbers where a model
/// does not name its classes; in training they are numbered in the order of their names, which is told.
#[test]
fn folders_called_by_numbers_are_the_classes_of_their_numbers() {
    let place = Place::new();
    for class in 0..12 {
        picture(&place, &format!("numbers/{class}/0.png"), class);
        picture(&place, &format!("padded/{class:03}/0.png"), class);
    }
    place.var(&["sample", "--class", "0-3", "--tokens", "unnamed", "-q", "-o", "a.png"]);
    let run = ["train", "--vae", "built-in", "--depth", "1", "--width", "64", "--bs", "4"];
    let run = [&run[..], &["--iterations", "1", "--sample-every", "0"]].concat();
    let unnamed = ["--out", "run", "--tokens", "unnamed", "--classes", "12", "-q"];
    place.var(&[&run[..], &unnamed].concat());
    let model = ["--model", "run/ckpt-last.safetensors"];
    let validate = |data: &[&str]| {
        let options = [&["validate", "--json"], data, &model].concat();
        let (report, said) = outputs(&place, &options);
        (serde_json::from_str::<Value>(&report).unwrap()["L_mean"].as_f64().unwrap(), said)
    };
    let (loss, said) = validate(&["--data", "numbers", "--mid-reso", "1"]);
    assert!(said.contains("those of numbers are called by numbers, which are taken as"), "{said}");
    // As each image under the class of its number.
    let mut nats = 0.0;
    for class in 0..12 {
        let (image, class) = (format!("numbers/{class}/0.png"), class.to_string());
        let score = ["score", &image, "--classes", &class, "--json", "--mid-reso", "1", "-q"];
        let scored: Value =
            serde_json::from_str(&place.var(&[&score[..], &model].concat())).unwrap();
        nats -= scored[0]["most_likely"]["log_likelihood_nats"].as_f64().unwrap();
    }
    assert!((loss - nats / (12.0 * 30.0)).abs() < 1e-4, "{loss} {nats}");
    assert_eq!(validate(&["--data", "padded", "--mid-reso", "1"]).0, loss);
    // Tokens have the order of the names, and the names.
    let tokenize = [&TOKENIZE[..], &["1", "numbers", "-o", "numbers.tok"]].concat();
    let (_, said) = outputs(&place, &tokenize);
    assert!(
        said.contains("numbers: folders are called by numbers, but numbered in the order of"),
        "{said}"
    );
    assert!(said.contains(": class 2 is called 10"), "{said}");
    assert_eq!(validate(&["--tokens", "numbers.tok"]).0, loss);
    // A number that no class has.
    picture(&place, "numbers/12/0.png", 0);
    let refused = [&["validate", "--data", "numbers", "-q"], &model[..]].concat();
    place.refused(&refused, 1, "numbers: no class is called \"12\"");
    fs::remove_dir_all(place.path("numbers/12")).unwrap();
    // A model that learns from them is asked by their names.
    let named = ["--out", "named", "--tokens", "numbers.tok", "-q"];
    place.var(&[&run[..], &named].concat());
    let named = ["--model", "named/ckpt-last.safetensors"];
    let validate =
        |data: &[&str]| outputs(&place, &[&["validate", "--json", "-q"], data, &named].concat()).0;
    let by_name = validate(&["--data", "numbers", "--mid-reso", "1"]);
    assert_eq!(by_name, validate(&["--tokens", "numbers.tok"]));
}
