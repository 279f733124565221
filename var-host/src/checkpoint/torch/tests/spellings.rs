//! What checkpoints hold beside weights, as Python spells it.

use proptest::prelude::*;

use super::*;
use crate::checkpoint::Dtype;

/// Instructions that make a value.
type Code = Vec<u8>;

fn text(text: &str) -> Code {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn class(module: &str, name: &str) -> Code {
    format!("c{module}\n{name}\n").into_bytes()
}

fn tuple(items: &[Code]) -> Code {
    [&b"("[..], &items.concat(), b"t"].concat()
}

/// What calling `class` with `items` gives.
fn call(class: Code, items: &[Code]) -> Code {
    [class, tuple(items), b"R".to_vec()].concat()
}

fn dict(items: &[(Code, Code)]) -> Code {
    let items: Code = items.iter().flat_map(|(key, value)| [&key[..], value].concat()).collect();
    [&b"}("[..], &items, b"u"].concat()
}

fn list(items: &[Code]) -> Code {
    [&b"]("[..], &items.concat(), b"e"].concat()
}

/// `made` with a state, as `__setstate__` or `__dict__` would take it.
fn state(made: Code, state: Code) -> Code {
    [made, state, b"b".to_vec()].concat()
}

fn int(number: u8) -> Code {
    vec![b'K', number]
}

fn none() -> Code {
    b"N".to_vec()
}

/// A storage of four elements under key 0.
fn storage(class_name: &str) -> Code {
    let class = class("torch", class_name);
    let id = tuple(&[text("storage"), class, text("0"), text("cpu"), int(4)]);
    [id, b"Q".to_vec()].concat()
}

/// The tensor of all four elements.
fn tensor(class_name: &str) -> Code {
    let hooks = call(class("collections", "OrderedDict"), &[]);
    let rest = [int(0), tuple(&[int(4)]), tuple(&[int(1)]), vec![0x89], hooks];
    call(class("torch._utils", "_rebuild_tensor_v2"), &[&[storage(class_name)][..], &rest].concat())
}

/// A file of a tensor `model.w` and what is `beside` it.
fn beside(beside: &[(Code, Code)]) -> Result<Checkpoint, FormatError> {
    let model = (text("model"), dict(&[(text("w"), tensor("FloatStorage"))]));
    let root = dict(&[&[model][..], beside].concat());
    let pickle = [&b"\x80\x02"[..], &root, b"."].concat();
    open(&pickle, &[("data/0", &FOUR)])
}

#[track_caller]
fn is_passed_over(what: &str, value: Code) {
    let file = beside(&[(text("x"), value)]).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_eq!(file.tensor("model.w").unwrap().to_f32(), [0.0, 1.0, 2.0, 3.0], "{what}");
    assert_eq!(file.tensors().len(), 1, "{what}");
}

/// The state of an array or of an array's type.
fn numpy_array() -> Code {
    let empty = [class("numpy", "ndarray"), tuple(&[int(0)]), b"U\x01b".to_vec()];
    let dtype = call(class("numpy", "dtype"), &[text("f8"), vec![0x89], vec![0x88]]);
    let dtype = state(dtype, tuple(&[int(3), text("<"), none(), none(), none()]));
    let rest = tuple(&[int(1), tuple(&[int(2)]), dtype, vec![0x89], b"U\x02ab".to_vec()]);
    state(call(class("numpy.core.multiarray", "_reconstruct"), &empty), rest)
}

/// C02b: settings and statistics are passed over, whatever harmless classes they are of.
#[test]
fn settings_beside_weights_are_passed_over() {
    let namespace = || class("argparse", "Namespace");
    let made = |class: Code| [class, b")\x81".to_vec()].concat();
    let depth = || dict(&[(text("depth"), int(2))]);
    for (what, value) in [
        ("Namespace", state(made(namespace()), depth())),
        ("SimpleNamespace", state(call(class("types", "SimpleNamespace"), &[]), depth())),
        ("path", call(class("pathlib", "PosixPath"), &[text("runs"), text("x")])),
        ("path of 3.13", call(class("pathlib._local", "PosixPath"), &[text("runs")])),
        ("datetime", call(class("datetime", "datetime"), &[b"U\x0a0123456789".to_vec()])),
        ("timedelta", call(class("datetime", "timedelta"), &[int(1), int(0), int(0)])),
        ("complex", call(class("__builtin__", "complex"), &[int(1), int(2)])),
        ("slice", call(class("builtins", "slice"), &[int(1), int(2), none()])),
        ("range", call(class("builtins", "range"), &[int(0), int(3), int(1)])),
        ("Ellipsis", class("builtins", "Ellipsis")),
        ("set", call(class("__builtin__", "set"), &[list(&[int(1)])])),
        ("Counter", call(class("collections", "Counter"), &[dict(&[(text("a"), int(2))])])),
        ("array", numpy_array()),
        ("scalar", call(class("numpy._core.multiarray", "scalar"), &[class("numpy", "float64")])),
        ("numpy type", class("numpy", "int64")),
        ("element type", class("torch", "int64")),
        ("8-bit type", class("torch", "float8_e4m3fn")),
        ("size", call(class("torch", "Size"), &[tuple(&[int(1), int(2)])])),
        ("device", call(class("torch", "device"), &[text("cuda"), int(0)])),
        (
            "old object",
            call(
                class("copyreg", "_reconstructor"),
                &[namespace(), class("builtins", "object"), none()],
            ),
        ),
        ("omegaconf", state(made(class("omegaconf.dictconfig", "DictConfig")), depth())),
        (
            "version",
            [class("torch.torch_version", "TorchVersion"), tuple(&[text("2.1")]), vec![0x81]]
                .concat(),
        ),
        ("keyword arguments", [namespace(), b")}\x92".to_vec()].concat()),
        (
            "filled class",
            [call(class("numpy", "ndarray"), &[]), text("a"), int(1), b"s".to_vec()].concat(),
        ),
        ("appended class", [call(class("numpy", "ndarray"), &[]), int(1), b"a".to_vec()].concat()),
        ("none", none()),
    ] {
        is_passed_over(what, value);
    }
}

/// C02b: dictionaries and lists of other classes are entered; odd keys are passed over.
#[test]
fn containers_and_odd_keys_are_read() {
    let filled = |made: Code| [made, text("a"), int(7), b"s".to_vec()].concat();
    let factory =
        |name: &str| call(class("collections", "defaultdict"), &[class("builtins", name)]);
    let appended =
        [call(class("collections", "deque"), &[list(&[]), int(9)]), int(7), b"a".to_vec()];
    let pairs = list(&[tuple(&[text("a"), int(7)])]);
    for (value, name) in [
        (filled(factory("dict")), "x.a"),
        (filled(factory("list")), "x.a"),
        (filled(call(class("collections", "OrderedDict"), &[])), "x.a"),
        (call(class("collections", "OrderedDict"), &[pairs]), "x.a"),
        (filled([class("easydict", "EasyDict"), b")\x81".to_vec()].concat()), "x.a"),
        (appended.concat(), "x.0"),
        (dict(&[(none(), int(7))]), "x.None"),
        (dict(&[(tuple(&[text("a"), int(1)]), int(8)), (text("a"), int(7))]), "x.a"),
        (dict(&[(class("torch", "int64"), int(8)), (vec![0x88], int(7))]), "x.true"),
    ] {
        let file = beside(&[(text("x"), value)]).unwrap();
        let plain = [(name.to_owned(), "7".to_owned())];
        assert!(file.metadata().iter().map(|(k, v)| (k.clone(), v.clone())).eq(plain), "{name}");
    }
}

/// Anything that could run code is refused by its name, wherever it stands.
#[test]
fn classes_that_could_run_code_are_refused_wherever_they_stand() {
    let system = || class("posix", "system");
    for value in [
        call(system(), &[text("true")]),
        call(class("collections", "defaultdict"), &[system()]),
        state(class("argparse", "Namespace"), system()),
        call(
            class("torch._tensor", "_rebuild_from_type_v2"),
            &[system(), none(), tuple(&[]), none()],
        ),
        [class("argparse", "Namespace"), b"(".to_vec(), system(), b"t\x81".to_vec()].concat(),
    ] {
        match beside(&[(text("x"), value)]) {
            Err(FormatError::Pickle(PickleError::Forbidden { name })) => {
                assert_eq!(name, "posix.system")
            }
            other => panic!("{other:?}"),
        }
    }
    // A function of the list within itself is none.
    let again = class("torch._tensor", "_rebuild_from_type_v2");
    let nested = call(again.clone(), &[again, none(), tuple(&[]), none()]);
    assert!(beside(&[(text("x"), nested)]).is_err());
}

/// Rare: tensors that are not read are kept apart by name and kind.
#[test]
fn tensors_that_cannot_be_read_are_named() {
    let layout = call(class("torch.serialization", "_get_layout"), &[text("torch.sparse_coo")]);
    let sparse = call(class("torch._utils", "_rebuild_sparse_tensor"), &[layout, tuple(&[])]);
    let parameter =
        call(class("torch._utils", "_rebuild_parameter"), &[sparse.clone(), vec![0x88], none()]);
    let meta = call(
        class("torch._utils", "_rebuild_meta_tensor_no_storage"),
        &[class("torch", "float32")],
    );
    for (value, kind) in [
        (sparse, "a sparse tensor"),
        (parameter, "a sparse tensor"),
        (meta, "a tensor of the device meta, without elements"),
    ] {
        let file = beside(&[(text("x"), value)]).unwrap();
        assert_eq!(file.unreadable()["x"], kind);
        assert_eq!(file.tensors().len(), 1);
    }
    let complex = [&b"}"[..], &text("x"), &tensor("ComplexFloatStorage"), b"s."].concat();
    let file = open(&complex, &[("data/0", &[0; 32])]).unwrap();
    assert_eq!(file.unreadable()["x"], "element type complex64");
    let error = open(&complex, &[("data/0", &[0; 31])]).unwrap_err();
    assert!(matches!(error, FormatError::ShortStorage { needs: 32, has: 31, .. }), "{error:?}");
}

/// Tensors of bytes with their type, as PyTorch writes those of newer types.
#[test]
fn typed_bytes_are_read() {
    let typed = |element: &str, count: u8| {
        let hooks = call(class("collections", "OrderedDict"), &[]);
        let id = tuple(&[
            text("storage"),
            class("torch.storage", "UntypedStorage"),
            text("0"),
            text("cpu"),
            int(4),
        ]);
        let items = [
            [id, b"Q".to_vec()].concat(),
            int(0),
            tuple(&[int(count)]),
            tuple(&[int(1)]),
            vec![0x89],
            hooks,
            class("torch", element),
        ];
        let value = call(class("torch._utils", "_rebuild_tensor_v3"), &items);
        open(
            &[&b"}"[..], &text("x"), &value, b"s."].concat(),
            &[("data/0", &[0x38, 0xc5, 0x3c, 0])],
        )
    };
    let file = typed("float8_e4m3fn", 4).unwrap();
    assert_eq!(file.tensor("x").unwrap().to_f32(), [1.0, -3.25, 1.5, 0.0]);
    let file = typed("int16", 2).unwrap();
    assert_eq!(file.tensor("x").unwrap().to_i64().unwrap(), [-15048, 0x3c]);
    assert_eq!(typed("uint16", 2).unwrap().unreadable()["x"], "element type uint16");
    let error = typed("int32", 2).unwrap_err();
    assert!(matches!(error, FormatError::ViewBounds { needs: 2, has: 1, .. }), "{error:?}");
}

#[test]
fn tensors_of_classes_of_their_own_are_read() {
    let w = tensor("FloatStorage");
    let parameter = class("torch.nn.parameter", "Parameter");
    let rebuild = class("torch._utils", "_rebuild_tensor_v2");
    let hooks = call(class("collections", "OrderedDict"), &[]);
    let items =
        [storage("FloatStorage"), int(0), tuple(&[int(4)]), tuple(&[int(1)]), vec![0x89], hooks];
    let own = call(
        class("torch._tensor", "_rebuild_from_type_v2"),
        &[rebuild, parameter, tuple(&items), dict(&[(text("tag"), int(1))])],
    );
    let with_state = call(
        class("torch._utils", "_rebuild_parameter_with_state"),
        &[w, vec![0x88], none(), dict(&[])],
    );
    for value in [own, with_state] {
        let file = beside(&[(text("x"), value)]).unwrap();
        assert_eq!(file.tensor("x").unwrap().to_f32(), [0.0, 1.0, 2.0, 3.0]);
    }
}

/// Rare: deflated archives are read as PyTorch reads them.
#[test]
fn deflated_archives_are_read() {
    let pickle = one_tensor(4, 1, &[2, 2], &[1, 1]);
    let entries: [(&str, &[u8]); 2] = [("data/0", &FOUR), ("byteorder", b"little")];
    let mut file = zipped(&pickle, &entries, CompressionMethod::Deflated);
    let read = Checkpoint::from_bytes(&file).unwrap();
    assert_eq!(read.tensor("x").unwrap().to_f32(), [1.0, 2.0, 2.0, 3.0]);
    let zeros = vec![0; 20 << 20];
    let bomb = zipped(&pickle, &[("data/0", &zeros)], CompressionMethod::Deflated);
    let error = Checkpoint::from_bytes(&bomb).unwrap_err();
    assert!(matches!(error, FormatError::Limit { .. }), "{error:?}");
    // The data of the first entry: what is inflated has its checksum compared.
    let at = file.windows(8).position(|bytes| bytes == b"data.pkl").unwrap() + 12;
    file[at] ^= 0x40;
    assert!(Checkpoint::from_bytes(&file).is_err());
}

#[test]
fn archives_of_other_kinds_are_named() {
    let script = torch_file(b"}.", &[("constants.pkl", b").")]);
    let error = Checkpoint::from_bytes(&script).unwrap_err().to_string();
    assert!(error.starts_with("not a checkpoint but a TorchScript archive: "), "{error}");
    let mut arrays = torch_file(b"}.", &[("a.npy", b"")]);
    let at: Vec<_> = (0..arrays.len()).filter(|&i| arrays[i..].starts_with(b"data.pkl")).collect();
    at.into_iter().for_each(|at| arrays[at..at + 8].copy_from_slice(b"data.txt"));
    let error = Checkpoint::from_bytes(&arrays).unwrap_err().to_string();
    assert!(error.starts_with("not a checkpoint but a NumPy archive (.npz): "), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever is changed in a file, it is read or refused.
    #[test]
    fn changed_files_are_read_or_refused(
        deflated in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let root = dict(&[
            (text("w"), tensor("FloatStorage")),
            (text("n"), numpy_array()),
            (none(), call(class("collections", "deque"), &[list(&[int(1)])])),
        ]);
        let mut pickle = [&b"\x80\x02"[..], &root, b"."].concat();
        for (at, to) in &changes {
            let at = at.index(pickle.len());
            pickle[at] = *to;
        }
        let method = if deflated { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let mut file = zipped(&pickle, &[("data/0", &FOUR)], method);
        if let Ok(read) = Checkpoint::from_bytes(&file) {
            for info in read.tensors() {
                let tensor = read.tensor(info.name).unwrap();
                prop_assert_eq!(tensor.bytes.len(), tensor.len() * tensor.dtype.size());
                prop_assert!(tensor.dtype != Dtype::F16 || tensor.as_f16().is_some());
            }
        }
        for (at, to) in changes {
            let at = at.index(file.len());
            file[at] = to;
        }
        let _ = Checkpoint::from_bytes(&file);
    }
}
