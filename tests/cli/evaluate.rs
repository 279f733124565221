//! `var pack`, `var statistics`, `var evaluate`, `var convert --inception`.

use std::fs;
use std::path::Path;
use std::process::Command;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use var_host::images::{self, Parameters, RgbImage};
use var_host::inception;
use var_host::npz::{NpyDtype, Npz, NpzWriter};

use super::Place;
use crate::support::u01;

/// Writes weights of the network by formula, under the published names.
fn write_weights(path: &Path) {
    let all: Vec<_> = inception::tensors()
        .into_iter()
        .map(|(name, shape)| {
            let fan_in: usize = shape[1..].iter().product();
            let spread = (3.0 / fan_in as f64).sqrt() * 1.625;
            let value = |u: f32| {
                let u = f64::from(u);
                let t = 2.0 * u - 1.0;
                let value = match name.rsplit_once('.').expect("names have dots") {
                    (part, "weight") if part.ends_with("bn") => 1.0 + 0.1 * t,
                    (_, "weight") => t * spread,
                    ("fc", _) => 0.02 * t,
                    (_, "running_var") => 1.0 + 0.5 * u,
                    _ => 0.1 * t,
                };
                value as f32
            };
            let values = u01(&name, shape.iter().product()).into_iter().map(value);
            let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = all.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn folders_are_packed_in_order() {
    let place = Place::new();
    place.var(&["sample", "--per-class", "2", "--seed", "3", "-o", "made/", "-q"]);
    let said = place.var(&["pack", "made", "-o", "made.npz"]);
    assert!(said.starts_with("made.npz: 20 images of 32 × 32, 6"), "{said}");
    // The comment at the archive's end says what made the images.
    let archive = place.bytes("made.npz");
    let comment = archive.iter().rposition(|byte| *byte == b'{').unwrap();
    let settings: Parameters = serde_json::from_slice(&archive[comment..]).unwrap();
    let picture = place.parameters("made/000000-class0.png");
    for key in ["model_digest", "vae_digest", "seed", "cfg"] {
        assert_eq!(settings[key], picture[key], "{key}");
    }
    assert!(!settings.contains_key("index"));
    let mut npz = Npz::open(&place.path("made.npz")).unwrap();
    let mut images = npz.elements("arr_0").unwrap();
    assert_eq!(images.shape(), [20, 32, 32, 3]);
    for index in 0..20 {
        let mut rgb = vec![0; 32 * 32 * 3];
        images.read(&mut rgb).unwrap();
        let name = format!("made/{index:06}-class{}.png", index / 2);
        assert!(rgb == place.picture(&name).rgb(), "{name}");
    }
    images.finish().unwrap();
    place.refused(&["pack", "made", "-o", "made.npz"], 1, "made.npz: exists already");
    place.refused(&["pack", "none", "-o", "a.npz"], 1, "none: is neither a folder of images");

    let larger = RgbImage::filled(40, 36, [9; 3]);
    images::write_png(&place.path("made/x.png"), &larger, &Parameters::new(), false).unwrap();
    let message = "x.png: is 40 × 36, the set's first image 32 × 32: all must be of one size";
    place.refused(&["pack", "made", "-o", "a.npz"], 1, "x.png: is not of the run that");
    place.refused(&["pack", "made", "-o", "a.npz", "--any-run"], 1, message);
    place.var(&["pack", "made", "--side", "16", "-o", "a.npz", "--any-run", "-q"]);
    let mut npz = Npz::open(&place.path("a.npz")).unwrap();
    assert_eq!(npz.elements("arr_0").unwrap().shape(), [21, 16, 16, 3]);
}

/// A limit on the size of files stands for a full disk.
#[cfg(unix)]
#[test]
fn full_disk_leaves_nothing() {
    let place = Place::new();
    place.var(&["sample", "--count", "60", "-o", "made/", "-q"]);
    let binary = env!("CARGO_BIN_EXE_var");
    // In blocks of 512 bytes; the signal is left to the error.
    let script = format!("trap '' XFSZ; ulimit -f 200; exec {binary} pack made -o made.npz -q");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(place.path(""));
    place.refused_by(&mut command, 1, "made.npz: ");
    assert!(!place.names().iter().any(|name| name.contains("npz")), "{:?}", place.names());
}

#[test]
fn samples_are_compared_with_pictures_and_with_statistics() {
    let place = Place::new();
    write_weights(&place.path("published"));
    let said = place.var(&["convert", "--inception", "published", "-o", "weights"]);
    assert!(said.starts_with("weights: 95."), "{said}");
    fs::remove_file(place.path("published")).unwrap();
    place.var(&["sample", "--per-class", "2", "--seed", "1", "-o", "made/", "-q"]);
    place.var(&["sample", "--per-class", "3", "--seed", "2", "-o", "real/", "-q"]);
    place.var(&["pack", "made", "-o", "made.npz", "-q"]);
    let evaluate = |samples: &str, reference: &str| {
        let options = ["--inception", "weights", "--reference", reference, "--json", "-q"];
        json(&place.var(&[&["evaluate", samples][..], &options].concat()))
    };
    let from_folder = evaluate("made", "real");
    assert_eq!(
        (&from_folder["sample_images"], &from_folder["reference_images"]),
        (&20.into(), &30.into())
    );
    let number = |report: &Value, key: &str| report[key].as_f64().unwrap();
    assert!(number(&from_folder, "fid") > 1e-3 && number(&from_folder, "sfid") > 1e-3);
    assert!(number(&from_folder, "inception_score") >= 1.0);

    // An archive is its folder; statistics are their images.
    let mut other = evaluate("made.npz", "real");
    let statistics = ["statistics", "real", "-o", "ref.npz", "--inception", "weights"];
    let said = place.var(&[&statistics[..], &["--threads", "1"]].concat());
    assert_eq!(said, "ref.npz: statistics of 30 images, 30 of them stored\n");
    let mut stored = evaluate("made", "ref.npz");
    for key in ["fid", "sfid", "inception_score", "precision", "recall"] {
        assert_eq!(other[key].take(), from_folder[key], "{key}");
        assert_eq!(stored[key].take(), from_folder[key], "{key}");
    }
    let few =
        [&statistics[..2], &["-o", "few.npz", "--inception", "weights", "--images", "0", "-q"]];
    place.var(&few.concat());
    let few = evaluate("made", "few.npz");
    assert_eq!(few["fid"], from_folder["fid"]);
    assert_eq!((&few["precision"], &few["reference_images"]), (&Value::Null, &0.into()));

    assert_eq!(few["missing"]["precision"], "the reference has no images (arr_0)");
    statistics_for_fid_alone(&place, &from_folder);

    let same = evaluate("made", "made.npz");
    assert!(number(&same, "fid").abs() < 1e-6 && number(&same, "sfid").abs() < 1e-6, "{same}");
    assert_eq!((number(&same, "precision"), number(&same, "recall")), (1.0, 1.0));
    // The runs that made them are told, from images or from an archive's comment.
    let model = &place.parameters("made/000000-class0.png")["model_digest"];
    for set in ["samples_run", "reference_run"] {
        assert_eq!(same[set]["model_digest"], **model, "{set}");
        assert_eq!(same[set]["seed"], "1", "{set}");
    }
    let itself = ["evaluate", "made", "--inception", "weights", "--reference", "made.npz"];
    let warned = super::faults(&place.command(&itself).output().unwrap());
    assert!(warned.contains("made and made.npz are of one run"), "{warned}");
    let text =
        place.var(&["evaluate", "made", "--inception", "weights", "--reference", "real", "-q"]);
    let names: Vec<&str> = text.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(names, ["Inception Score", "FID", "sFID", "precision", "recall"]);

    // Faults are reported before the work.
    let refused = |arguments: &[&str], message: &str| {
        let all = [&["evaluate"], arguments, &["--inception", "weights", "-q"]].concat();
        place.refused(&all, 1, message);
    };
    place.var(&["pack", "made", "--side", "16", "-o", "small.npz", "-q"]);
    let message = "the samples are 16 × 16, the reference's images 32 × 32";
    refused(&["small.npz", "--reference", "real"], message);
    evaluate_any_size(&place);
    // Images of two runs are no set, neither of samples nor of a reference.
    fs::create_dir(place.path("both")).unwrap();
    for (run, name) in [("made", "000000-class0.png"), ("real", "000001-class0.png")] {
        fs::copy(place.path(&format!("{run}/{name}")), place.path(&format!("both/{name}")))
            .unwrap();
    }
    let message =
        "both/000001-class0.png: was made with seed 2, wanted is 1 as both/000000-class0.png is";
    refused(&["both", "--reference", "real"], message);
    refused(&["made", "--reference", "both"], message);
    let both = ["statistics", "both", "-o", "both.npz", "--inception", "weights", "-q"];
    place.refused(&both, 1, message);
    place.var(&[&both[..], &["--any-run"]].concat());
    place.var(&[
        "evaluate",
        "both",
        "--reference",
        "both",
        "--any-run",
        "--inception",
        "weights",
        "-q",
    ]);
    fs::create_dir(place.path("one")).unwrap();
    fs::copy(place.path("made/000000-class0.png"), place.path("one/a.png")).unwrap();
    let message = "one: 1 image: a covariance wants at least 2";
    refused(&["one", "--reference", "real"], message);
    refused(&["real", "--reference", "one"], message);
    refused(&["made", "--reference", "weights"], "weights: is no .npz archive");
    let mut writer = NpzWriter::create(&place.path("floats.npz"), false).unwrap();
    writer.begin("arr_0", NpyDtype::F32, &[2, 32, 32, 3]).unwrap();
    writer.write(&[0; 2 * 32 * 32 * 3 * 4]).unwrap();
    writer.finish().unwrap();
    let message = "floats.npz: arr_0: has <f4 of shape [2, 32, 32, 3], wants |u1 (bytes)";
    refused(&["floats.npz", "--reference", "real"], message);
    #[cfg(unix)]
    evaluate_on_a_full_disk(&place);
    fs::write(place.path("made/broken.png"), b"no picture").unwrap();
    refused(&["made", "--reference", "real"], "broken.png: is not of the run");
}

/// A limit on the size of files stands for a full disk: of the features', of the archive.
#[cfg(unix)]
fn evaluate_on_a_full_disk(place: &Place) {
    let before = place.names();
    for (blocks, arguments, message) in [
        (40, "evaluate made --reference real", "the features of 0 images in a temporary file"),
        (200, "statistics real -o full.npz", "full.npz: "),
    ] {
        let binary = env!("CARGO_BIN_EXE_var");
        let run = format!("exec {binary} {arguments} --inception weights -q");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; {run}")]);
        place.refused_by(command.current_dir(place.path("")), 1, message);
        assert_eq!(place.names(), before, "{arguments}: left something");
    }
}

/// N03: `mu` and `sigma` are all that other tools store. Audit 8: a matrix that is no covariance is
/// refused.
fn statistics_for_fid_alone(place: &Place, complete: &Value) {
    let mut stored = Npz::open(&place.path("ref.npz")).unwrap();
    let [mu, sigma] = ["mu", "sigma"].map(|array| stored.floats(array).unwrap());
    let write = |name: &str, sigma: &[f64]| {
        let mut writer = NpzWriter::create(&place.path(name), false).unwrap();
        writer.floats("mu", &mu.0, &mu.1).unwrap();
        writer.floats("sigma", &[mu.1.len(); 2], sigma).unwrap();
        writer.finish().unwrap();
    };
    write("fid.npz", &sigma.1);
    let options = ["evaluate", "made", "--inception", "weights", "-q", "--reference", "fid.npz"];
    let report = json(&place.var(&[&options[..], &["--json"]].concat()));
    assert_eq!(report["fid"], complete["fid"]);
    assert_eq!(report["inception_score"], complete["inception_score"]);
    for (key, reason) in [
        ("sfid", "the reference has no mu_s and sigma_s"),
        ("precision", "the reference has no images (arr_0)"),
        ("recall", "the reference has no images (arr_0)"),
    ] {
        assert_eq!((&report[key], &report["missing"][key]), (&Value::Null, &reason.into()));
    }
    let text = place.var(&options);
    assert!(
        text.contains("\nsFID             none: the reference has no mu_s and sigma_s\n"),
        "{text}"
    );

    let mut damaged = sigma.1.clone();
    damaged[7] = f64::NAN;
    write("nan.npz", &damaged);
    let options = ["evaluate", "made", "--inception", "weights", "-q", "--reference", "nan.npz"];
    place.refused(&options, 1, "nan.npz: sigma: element 7 is NaN");
    for name in ["fid.npz", "nan.npz"] {
        fs::remove_file(place.path(name)).unwrap();
    }
}

fn evaluate_any_size(place: &Place) {
    let arguments = [
        "evaluate",
        "small.npz",
        "--reference",
        "real",
        "--any-size",
        "--inception",
        "weights",
        "-q",
    ];
    place.var(&arguments);
}

#[test]
fn few_samples_are_warned_of() {
    let place = Place::new();
    write_weights(&place.path("weights"));
    place.var(&["sample", "--count", "4", "-o", "made/", "-q"]);
    let arguments = ["evaluate", "made", "--reference", "made", "--inception", "weights"];
    let output = place.command(&arguments).output().unwrap();
    assert!(output.status.success());
    let warnings = String::from_utf8(output.stderr).unwrap();
    let warning = "var: made: 4 images: with fewer than 2048 the numbers are not comparable";
    assert_eq!(warnings.lines().filter(|line| line.starts_with(warning)).count(), 2, "{warnings}");
}

#[test]
fn weights_must_be_given() {
    let place = Place::new();
    place.var(&["sample", "--count", "2", "-o", "made/", "-q"]);
    let arguments = ["evaluate", "made", "--reference", "made"];
    let message = "give --inception FILE: the weights of Inception-v3 of December 2015 that FID is \
                   defined on: pt_inception-2015-12-05-6726825d.pth";
    place.refused(&arguments, 2, message);
    let missing = [&arguments[..], &["--inception", "none.pth"]].concat();
    place.refused(&missing, 1, "pt_inception-2015-12-05-6726825d.pth");
    let built_in = super::small_model();
    let other = [&arguments[..], &["--inception", &built_in]].concat();
    place.refused(&other, 1, "is not part of the model");
    place.refused(&["convert", "--inception", &built_in, "-o", "x"], 1, "is not part of the model");
    let both = ["convert", "--inception", &built_in, "--model", &built_in, "-o", "x"];
    place.refused(&both, 2, "cannot be used with");
}
