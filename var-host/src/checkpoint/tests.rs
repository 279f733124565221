use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::quantize::WeightDtype;
use super::*;
use crate::atomic_file::AtomicFileError;

fn fixture(name: &str) -> PathBuf {
    crate::fixture::fixture("pth").join(name)
}

/// Every tensor of `expected`, to the bit, under `prefix` in `has`.
fn assert_holds(has: &Checkpoint, prefix: &str, expected: &Checkpoint) {
    assert!(expected.tensors().len() > 0);
    for info in expected.tensors() {
        let name = format!("{prefix}{}", info.name);
        let found = has.tensor(&name).unwrap_or_else(|| panic!("{name} is missing"));
        let wants = expected.tensor(info.name).unwrap();
        assert_eq!((found.dtype, found.shape), (wants.dtype, wants.shape), "{name}");
        assert_eq!(found.bytes, wants.bytes, "{name}");
    }
}

fn refusal(name: &str) -> FormatError {
    match Checkpoint::open(fixture(name)) {
        Err(CheckpointError::Format { path, source }) => {
            assert!(path.ends_with(name));
            source
        }
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_dtype_and_stride_equals_the_expected_file() {
    let has = Checkpoint::open(fixture("dtypes_and_strides.pth")).unwrap();
    let wants = Checkpoint::open(fixture("dtypes_and_strides.expected.safetensors")).unwrap();
    assert_eq!((has.format(), wants.format()), (Format::TorchZip, Format::Safetensors));
    assert_eq!(has.tensors().len(), wants.tensors().len());
    assert_holds(&has, "", &wants);
}

#[test]
fn state_dicts_of_both_formats_are_equal() {
    let zip = Checkpoint::open(fixture("var_state_dict.pth")).unwrap();
    let legacy = Checkpoint::open(fixture("var_state_dict_legacy.pth")).unwrap();
    assert_eq!((zip.format(), legacy.format()), (Format::TorchZip, Format::TorchLegacy));
    assert!(zip.tensors().eq(legacy.tensors()));
    assert_holds(&legacy, "", &zip);
    // Names and shapes are those of the model that the trainer went on with; its values differ.
    let trained = Checkpoint::open(fixture("var_state_dict.expected.safetensors")).unwrap();
    assert!(zip.tensors().eq(trained.tensors()));
    // As Python's unpickler reads it.
    let start = zip.tensor("pos_start").unwrap().as_f32().unwrap();
    assert_eq!(start[..2], [0.791_585_45, -0.874_827_86]);
    assert_eq!(zip.tensor("lvl_1L").unwrap().to_i64().unwrap(), [0, 1, 1, 1, 1]);
}

#[test]
fn trainer_checkpoint_has_nested_names_and_plain_values() {
    let has = Checkpoint::open(fixture("trainer_checkpoint.pth")).unwrap();
    let wants = Checkpoint::open(fixture("var_state_dict.expected.safetensors")).unwrap();
    assert_holds(&has, "trainer.var_wo_ddp.", &wants);
    assert!(has.tensors().any(|info| info.name.starts_with("trainer.vae_local.")));
    let plain = |name: &str| has.metadata()[name].as_str();
    assert_eq!((plain("args.depth"), plain("args.pn"), plain("args.saln")), ("1", "1_2", "false"));
}

#[test]
fn class_off_the_list_is_refused_by_name() {
    let refusal = refusal("hostile_global.pth");
    let FormatError::Pickle(PickleError::Forbidden { name }) = refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!(name, "posix.system");
}

#[test]
fn missing_and_short_storages_are_refused_with_both_numbers() {
    let FormatError::MissingStorage { tensor, storage } = refusal("missing_storage.pth") else {
        panic!()
    };
    assert_eq!((tensor.as_str(), storage.as_str()), ("attn_bias_for_masking", "3"));
    let FormatError::ShortStorage { tensor, needs, has, .. } = refusal("short_storage.pth") else {
        panic!()
    };
    assert_eq!((tensor.as_str(), needs, has), ("attn_bias_for_masking", 100, 8));
}

#[test]
fn files_that_are_no_checkpoints_are_refused() {
    let error = refusal("not_a_checkpoint.pth");
    assert!(error.to_string().contains("a text, which begins with \"hello"), "{error}");
    let error = Checkpoint::from_bytes(b"\x01\x02hell\x03wo").unwrap_err();
    assert!(error.to_string().ends_with("(it begins with 01 02 68 65 6c 6c 03 77)"), "{error}");
    assert!(matches!(refusal("truncated.pth"), FormatError::Zip { .. }));
    let empty = Checkpoint::from_bytes(&[]).unwrap_err();
    assert!(matches!(empty, FormatError::OtherKind { .. }));
    let error = Checkpoint::open(fixture("none.pth")).unwrap_err();
    assert!(matches!(&error, CheckpointError::Io { path, .. } if path.ends_with("none.pth")));
    assert!(matches!(Checkpoint::open(fixture(".")), Err(CheckpointError::Io { .. })));
}

/// Cut anywhere, a file is refused.
#[test]
fn truncation_is_never_taken_for_a_whole_file() {
    for name in
        ["var_state_dict.pth", "var_state_dict_legacy.pth", "var_state_dict.expected.safetensors"]
    {
        let bytes = fs::read(fixture(name)).unwrap();
        for length in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
            assert!(Checkpoint::from_bytes(&bytes[..length]).is_err(), "{name} cut at {length}");
        }
    }
}

/// The sum of the lengths in this header, and of the header's own, exceeds 64 bits.
#[test]
fn safetensors_lengths_that_overflow_are_refused() {
    let part = 1_u64 << 60;
    let entries: Vec<_> = (0..16)
        .map(|i| {
            let (start, count) = (i * part, if i == 15 { part - 8 } else { part });
            let end = start + count;
            format!(r#""{i}":{{"dtype":"U8","shape":[{count}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let error = Checkpoint::from_bytes(&safetensors_file(&entries.join(","), &[])).unwrap_err();
    assert!(matches!(error, FormatError::DataLength { has: 0, .. }), "{error:?}");
}

#[test]
fn safetensors_at_any_address_are_read() {
    let entry = r#""x":{"dtype":"F64","shape":[],"data_offsets":[0,8]}"#;
    let file = safetensors_file(entry, &1.5_f64.to_le_bytes());
    for offset in 0..8 {
        let mut moved = vec![0; offset];
        moved.extend(&file);
        let checkpoint = Checkpoint::from_static(&moved.leak()[offset..]).unwrap();
        assert_eq!(checkpoint.tensor("x").unwrap().to_f32(), [1.5]);
    }
}

/// Rare: types without a use here beside the weights are kept apart; floating-point numbers of eight
/// bits are read as those of sixteen.
#[test]
fn safetensors_element_types_without_use_are_named() {
    let entries = r#""x":{"dtype":"U16","shape":[1],"data_offsets":[0,2]},
        "y":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[2,4]}"#;
    let file = Checkpoint::from_bytes(&safetensors_file(entries, &[0, 0, 0x38, 0xc5])).unwrap();
    assert_eq!(file.unreadable()["x"], "element type U16");
    let y = file.tensor("y").unwrap();
    assert_eq!((y.dtype, y.to_f32()), (Dtype::F16, vec![1.0, -3.25]));
}

/// Audit 14: a header is refused by its length before it is read.
#[test]
fn safetensors_headers_are_limited_before_they_are_read() {
    let mut file = vec![b' '; 9 << 20];
    file[..8].copy_from_slice(&((9 << 20) - 8_u64).to_le_bytes());
    file[8] = b'{';
    let error = Checkpoint::from_bytes(&file).unwrap_err();
    let wants = "safetensors header of 9437176 bytes, the limit is 8388608";
    assert_eq!(error.to_string(), wants);
}

fn safetensors_file(entries: &str, data: &[u8]) -> Vec<u8> {
    let json = format!("{{{entries}}}");
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend(json.as_bytes());
    file.extend(data);
    file
}

fn saved(records: Vec<Record<'_>>, metadata: &BTreeMap<String, String>) -> Checkpoint {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save(&path, records, metadata, false).unwrap();
    Checkpoint::from_bytes(&fs::read(&path).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn saved_tensors_are_read_back(
        tensors in prop::collection::btree_map(
            "\\PC{0,12}",
            (prop::sample::select(vec![Dtype::F64, Dtype::Bf16, Dtype::I8, Dtype::Bool]),
             prop::collection::vec(0_usize..5, 0..4)),
            0..6,
        ),
        metadata in prop::collection::btree_map("\\PC{0,8}", "\\PC{0,20}", 0..3),
    ) {
        let data: Vec<u8> = (0..=255).cycle().take(4 * 4 * 4 * 8).collect();
        let records = tensors.iter().map(|(name, (dtype, shape))| {
            let size = shape.iter().product::<usize>() * dtype.size();
            Record::borrowed(name, *dtype, shape.clone(), &data[..size])
        });
        let checkpoint = saved(records.collect(), &metadata);
        let mut kept = checkpoint.metadata().clone();
        prop_assert!(kept.remove("checksum").is_some());
        prop_assert_eq!(&kept, &metadata);
        checkpoint.verify().unwrap();
        prop_assert_eq!(checkpoint.tensors().len(), tensors.len());
        for (name, (dtype, shape)) in &tensors {
            let tensor = checkpoint.tensor(name).unwrap();
            prop_assert_eq!((tensor.dtype, tensor.shape), (*dtype, shape.as_slice()));
            prop_assert_eq!(tensor.bytes, &data[..tensor.bytes.len()]);
        }
    }
}

/// The published crate reads the files of `save`.
#[test]
fn saved_file_passes_the_published_validation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let source = Checkpoint::open(fixture("dtypes_and_strides.pth")).unwrap();
    let records = source.tensors().map(|info| {
        let tensor = source.tensor(info.name).unwrap();
        Record::borrowed(info.name, tensor.dtype, tensor.shape, tensor.bytes)
    });
    save(&path, records, &BTreeMap::new(), false).unwrap();
    let bytes = fs::read(&path).unwrap();
    let parsed = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(parsed.len(), source.tensors().len());
    assert_holds(&Checkpoint::open(&path).unwrap(), "", &source);
}

#[test]
fn save_keeps_an_existing_file_and_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    fs::write(&path, b"old").unwrap();
    let none = BTreeMap::new();
    let record = |name: &str| Record::borrowed(name, Dtype::U8, [2], &[1, 2]);
    let error = save(&path, [record("a")], &none, false).unwrap_err();
    assert!(matches!(error, SaveError::File(AtomicFileError::Exists { .. })));
    for names in [["a", "a"], ["a", "__metadata__"]] {
        let error = save(&path, names.map(record), &none, true).unwrap_err();
        assert!(matches!(error, SaveError::DuplicateName { tensor } if tensor == names[1]));
    }
    let infinite = bytemuck::bytes_of(&f32::INFINITY);
    let tensor = Tensor { dtype: Dtype::F32, shape: &[1], bytes: infinite };
    let records = quantize::records("w", tensor, WeightDtype::F16);
    assert!(matches!(save(&path, records, &none, true), Err(SaveError::Quantize(_))));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    save(&path, [record("a")], &none, true).unwrap();
    assert_eq!(Checkpoint::open(&path).unwrap().tensor("a").unwrap().bytes, [1, 2]);
}

#[test]
fn precisions_choose_types_shapes_and_names() {
    let values: Vec<f32> = (0..3 * 64).map(|i| (i as f32 * 0.37).sin()).collect();
    let matrix = |shape: &'static [usize]| Tensor {
        dtype: Dtype::F32,
        shape,
        bytes: bytemuck::cast_slice(&values[..shape.iter().product()]),
    };
    let q8 = saved(quantize::records("w", matrix(&[3, 64]), WeightDtype::Q8), &BTreeMap::new());
    let (integers, scales) = (q8.tensor("w").unwrap(), q8.tensor("w.scale").unwrap());
    assert_eq!((integers.dtype, integers.shape), (Dtype::I8, &[3, 64][..]));
    assert_eq!((scales.dtype, scales.shape), (Dtype::F16, &[3, 2][..]));
    let back = quantize::from_q8(integers.as_i8().unwrap(), scales.as_f16().unwrap());
    assert!(back.iter().zip(&values).all(|(x, y)| (x - y).abs() < 0.5 / 126.0));
    for (shape, precision, wants) in [
        (&[3, 33][..], WeightDtype::Q8, Dtype::F16),
        (&[3, 33], WeightDtype::Bf16, Dtype::Bf16),
        (&[3, 64], WeightDtype::F32, Dtype::F32),
        (&[], WeightDtype::Q8, Dtype::F16),
    ] {
        let records = quantize::records("w", matrix(shape), precision);
        assert_eq!(records.len(), 1);
        let checkpoint = saved(records, &BTreeMap::new());
        let tensor = checkpoint.tensor("w").unwrap();
        assert_eq!((tensor.dtype, tensor.shape), (wants, shape));
        let wants = &values[..tensor.len()];
        assert!(tensor.to_f32().iter().zip(wants).all(|(x, y)| (x - y).abs() <= 1.0 / 256.0));
    }
}
