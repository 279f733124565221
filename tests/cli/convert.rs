//! `var convert`, `var info`, `var bench`: models.

use std::fs;

use serde_json::Value;
use var_host::checkpoint::{Checkpoint, Dtype, Record};
use var_host::run::Checkpoints;

use super::{Place, fixture, small_model};

/// The data of a safetensors file, without its header.
fn tensors(file: &[u8]) -> &[u8] {
    let length = u64::from_le_bytes(*file.first_chunk().unwrap());
    &file[8 + length as usize..]
}

#[test]
fn every_dtype_makes_a_model_file() {
    let place = Place::new();
    let small = small_model();
    let mut sizes = Vec::new();
    for dtype in ["f32", "f16", "bf16", "q8"] {
        place.var(&["convert", "--model", &small, "--dtype", dtype, "-o", dtype, "-q"]);
        sizes.push(fs::metadata(place.path(dtype)).unwrap().len());
        let info: Value = serde_json::from_str(&place.var(&["info", dtype, "--json"])).unwrap();
        assert_eq!(info["transformer"]["ladder"], serde_json::json!([1, 2, 3, 4]));
        assert_eq!(info["class_names"][9], "ankle boot");
        assert_eq!(info["file_bytes"], sizes[sizes.len() - 1]);
        let picture = format!("{dtype}.png");
        place.var(&["sample", "--model", dtype, "--tokens", "t", "--force", "-q", "-o", &picture]);
        assert_eq!(place.parameters(&picture)["model"], dtype);
    }
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[3] && sizes[2] > sizes[3], "{sizes:?}");
    assert!(sizes[1].abs_diff(sizes[2]) < 1000, "only the headers differ: {sizes:?}");
    // Widening is exact.
    assert_eq!(place.picture("f32.png"), place.picture("f16.png"));
    assert_eq!(tensors(&place.bytes("f16")), tensors(&fs::read(&small).unwrap()));
    place.var(&["convert", "--model", "f32", "--dtype", "f16", "-o", "again", "-q"]);
    assert_eq!(place.bytes("again"), place.bytes("f16"), "digests too, of its source as well");
    place.refused(&["convert", "--model", "f32", "-o", "f16"], 1, "f16: exists already");
}

#[test]
fn info_counts_what_there_is() {
    let place = Place::new();
    let built_in: Value = serde_json::from_str(&place.var(&["info", "--json"])).unwrap();
    assert_eq!(built_in["model"], "built-in");
    assert_eq!(built_in["picture_side"], 64);
    let info: Value =
        serde_json::from_str(&place.var(&["info", &small_model(), "--json"])).unwrap();
    assert_eq!(info["model"], "fashion_reference.safetensors");
    assert_eq!(info["picture_side"], 32);
    let count = |part: &str| info["parameters"][part].as_u64().unwrap();
    // Blocks of 18·C² (4·C² attention, 8·C² feed-forward, 6·C² modulation) and biases, tables, head.
    let (depth, heads) = (2, 2);
    let (c, z, v, l, k) = (128, 16, 512, 30, 4);
    let block = 18 * c * c + (3 * c + c) + (4 * c + c) + 6 * c - c + heads;
    let transformer = depth * block
        + 11 * c
        + c
        + l * c
        + k * c
        + (z * c + c)
        + (2 * c * c + 2 * c)
        + (c * v + v);
    assert_eq!(count("transformer"), transformer);
    let sum = count("transformer") + count("encoder") + count("decoder") + count("quantizer");
    assert_eq!(count("total"), sum);
    // Codebook and four 3×3 refinements.
    assert_eq!(count("quantizer"), v * z + 4 * (9 * z * z + z));
    let takes = &info["takes"];
    let gflop = |key: &str| takes[key].as_f64().unwrap();
    assert!(gflop("gflop_per_image") > gflop("gflop_per_image_without_guidance"));
    assert!(gflop("gflop_per_image_without_guidance") > gflop("gflop_decoder"));
    let memory = |batch: &str| takes["memory_bytes"][batch].as_u64().unwrap();
    assert!(memory("8") > memory("1"));
}

#[test]
fn checkpoints_of_one_half_are_told_apart() {
    let place = Place::new();
    for name in ["pth/var_state_dict.pth", "pth/var_state_dict_legacy.pth"] {
        let said = place.var(&["convert", "--var", &fixture(name), "-o", "half", "--force"]);
        assert!(
            said.starts_with("transformer: depth 1, width 16, 2 heads, 3 classes, ladder 1_2\n")
        );
        place.refused(&["sample", "--model", "half"], 1, "half: has no VQVAE: give --vae too");
        let lacks = "no VQVAE in it: no tensor is called or ends in quantize.embedding.weight";
        place.refused(
            &["encode", "x.png", "--vae", "half", "--ladder", "1_2", "-o", "t"],
            1,
            lacks,
        );
    }
    let names = ["convert", "--var", &fixture("pth/var_state_dict.pth"), "-o", "named"];
    place.var(&[&names[..], &["--class-names", "cat, dog,fish"]].concat());
    assert!(place.var(&["info", "named"]).contains("classes: cat, dog, fish\n"));
    fs::write(place.path("names.txt"), "cat\ndog\n").unwrap();
    let two = [&names[..], &["--classes-file", "names.txt", "--force"]].concat();
    place.refused(&two, 2, "2 names of classes, the model has 3");
    // K02: a byte order mark and blank lines are no part of the names.
    fs::write(place.path("names.txt"), "\u{feff}tench, Tinca tinca\r\n\ndog\r\n fish\n\n").unwrap();
    place.var(&two);
    let named = place.var(&["info", "named", "--json"]);
    let named: Value = serde_json::from_str(&named).unwrap();
    assert_eq!(named["class_names"], serde_json::json!(["tench, Tinca tinca", "dog", "fish"]));
}

#[test]
fn checkpoint_of_a_training_run_is_a_model() {
    let place = Place::new();
    let small = Checkpoint::open(small_model()).unwrap();
    let names = small.tensors().map(|tensor| tensor.name.to_owned()).collect::<Vec<_>>();
    let mut records = Vec::new();
    // The optimizer's state has the names of the weights it belongs to.
    for (prefix, of) in [("", ""), ("train.m.", "var."), ("train.ema.", "vae.")] {
        for name in names.iter().filter(|name| name.starts_with(of)) {
            let tensor = small.tensor(name).unwrap();
            let name = format!("{prefix}{name}");
            records.push(Record::borrowed(name, tensor.dtype, tensor.shape, tensor.bytes));
        }
    }
    records.push(Record::borrowed("train.position", Dtype::I64, [1], &[7; 8]));
    let checkpoints = Checkpoints::new(&place.path(""), 2);
    checkpoints.save(600, records, small.metadata().clone(), None).unwrap();
    let model = "ckpt-last.safetensors";
    place.var(&["sample", "--seed", "3", "-q", "-o", "given.png"]);
    place.var(&["sample", "--seed", "3", "-q", "--model", model, "-o", "trained.png"]);
    assert_eq!(place.picture("trained.png"), place.picture("given.png"));
    place.var(&["convert", "--model", model, "--dtype", "f16", "-o", "converted"]);
    let given = fs::read(small_model()).unwrap();
    assert_eq!(tensors(&place.bytes("converted")), tensors(&given));
    place.var(&["info", model]);
}

// Audit 4: one flipped byte of a converted file or a checkpoint.
#[test]
fn damaged_model_files_are_refused() {
    let place = Place::new();
    place.var(&["convert", "--model", &small_model(), "-o", "model", "-q"]);
    let said = place.var(&["info", "--verify", "model"]);
    assert!(said.ends_with("verified: every tensor is the one that was written\n"), "{said}");
    let digest = |said: &str, of: &str| {
        let line =
            said.lines().find_map(|line| line.strip_prefix(&format!("digest of the {of}: ")));
        line.unwrap_or_else(|| panic!("{said}"))
            .split(", converted from ")
            .last()
            .map(str::to_owned)
    };
    let source = place.var(&["info", &small_model()]);
    assert_eq!(digest(&said, "VQVAE"), digest(&source, "VQVAE"), "the digest of its source");
    let mut bytes = place.bytes("model");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(place.path("model"), &bytes).unwrap();
    let damaged = "model: damaged: its checksum is ";
    place.refused(&["info", "model"], 1, damaged);
    place.refused(&["info", "--verify", "model"], 1, damaged);
    place.refused(&["sample", "--model", "model"], 1, damaged);
    place.refused(&["validate", "--model", "model", "--tokens", "none"], 1, damaged);
    place.refused(&["convert", "--model", "model", "-o", "other"], 1, damaged);
    let train = ["train", "--tokens", "none", "--out", "run", "--vae", "model"];
    place.refused(&train, 1, damaged);
    let unverified = [&train[..], &["--no-verify"]].concat();
    place.refused(&unverified, 1, "var: none: No such file");
    place.var(&["info", "--no-verify", "model"]);
    let said = place.var(&["info", "--verify"]);
    assert!(said.ends_with("verified: every tensor is the one that was written\n"), "{said}");
    let without = "fashion_reference.safetensors: has no checksum";
    place.refused(&["info", "--verify", &small_model()], 1, without);
}

#[test]
fn bench_measures_every_stage() {
    let place = Place::new();
    let report = place.var(&["bench", "--json", "--runs", "1", "--threads", "1", "-q"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    let names: Vec<&str> = (report["stages"].as_array().unwrap().iter())
        .map(|stage| stage["stage"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["encode", "transformer", "decode", "whole image"]);
    assert_eq!(report["scales"].as_array().unwrap().len(), 4);
    assert_eq!(report["threads"], 1);
    assert!(report["peak_gflops"].as_f64().unwrap() > 0.0);
    let gflop = |stage: &Value| stage["gflop"].as_f64().unwrap();
    let scales: f64 = report["scales"].as_array().unwrap().iter().map(gflop).sum();
    assert!((scales - gflop(&report["stages"][1])).abs() < 1e-9);

    let operations = report["operations"].as_array().unwrap();
    let named = |name| operations.iter().find(|operation| operation["operation"] == name).unwrap();
    assert!(named("linear")["gflops"].as_f64().unwrap() > 0.0);
    assert!(named("layer_norm")["gb_per_s"].as_f64().unwrap() > 0.0);
    let share = |operation: &Value| operation["share"].as_f64().unwrap();
    assert!((operations.iter().map(share).sum::<f64>() - 1.0).abs() < 1e-9);

    // Beside an earlier report, but not one of other work.
    fs::write(place.path("earlier.json"), report.to_string()).unwrap();
    let bench = ["bench", "--json", "--runs", "1", "-q", "--against", "earlier.json"];
    let later: Value = serde_json::from_str(&place.var(&bench)).unwrap();
    assert_eq!(later["ratios"].as_array().unwrap().len(), 4 + 4);
    assert_eq!(later["ratios"][0]["earlier"], report["stages"][0]["seconds"]);
    let other = [&bench[..], &["--batch", "2"]].concat();
    place.refused(&other, 1, "the report is of batch 1 and cfg 1.5, this run of batch 2");
    fs::write(place.path("no.json"), "{}").unwrap();
    place.refused(&["bench", "--against", "no.json"], 1, "no.json is no report");
    fs::remove_file(place.path("earlier.json")).unwrap();
    fs::remove_file(place.path("no.json")).unwrap();

    // Whole images alone: no wait tells the scales apart.
    let alone = place.var(&["bench", "--whole", "--json", "--runs", "1", "--threads", "1", "-q"]);
    let alone: Value = serde_json::from_str(&alone).unwrap();
    let [encode, whole] = &alone["stages"].as_array().unwrap()[..] else { panic!("{alone}") };
    assert_eq!([&encode["stage"], &whole["stage"]], ["encode", "whole image"]);
    assert_eq!(gflop(whole), gflop(&report["stages"][3]));
    assert_eq!(
        (&alone["scales"], &alone["scale_0_gb_per_s"]),
        (&Value::Array(vec![]), &Value::Null)
    );
    assert!(place.names().is_empty());
}
