use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::checkpoint::{Checkpoint, FormatError, PickleError};

mod spellings;

/// A zip file as PyTorch lays it out, from pickle instructions and storages.
fn torch_file(pickle: &[u8], entries: &[(&str, &[u8])]) -> Vec<u8> {
    zipped(pickle, entries, CompressionMethod::Stored)
}

fn zipped(pickle: &[u8], entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in [("data.pkl", pickle)].iter().chain(entries) {
        zip.start_file(format!("m/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn open(pickle: &[u8], entries: &[(&str, &[u8])]) -> Result<Checkpoint, FormatError> {
    Checkpoint::from_bytes(&torch_file(pickle, entries))
}

fn refusal(pickle: &[u8]) -> FormatError {
    open(pickle, &[]).unwrap_err()
}

/// A dictionary that holds one f32 tensor, `x`, over a storage of `count` elements under key `0`.
fn one_tensor(count: u8, offset: u8, shape: &[u32], strides: &[u32]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}X\x01\x00\x00\x00xctorch._utils\n_rebuild_tensor_v2\n".to_vec();
    pickle.extend(b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\n");
    pickle.extend(b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu");
    pickle.extend([b'K', count, b't', b'Q', b'K', offset]);
    for lengths in [shape, strides] {
        pickle.push(b'(');
        for length in lengths {
            pickle.push(b'J');
            pickle.extend(length.to_le_bytes());
        }
        pickle.push(b't');
    }
    pickle.extend(b"\x89}tRs.");
    pickle
}

const FOUR: [u8; 16] = [0, 0, 0, 0, 0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64];

#[test]
fn strided_view_is_gathered() {
    let pickle = one_tensor(4, 1, &[2, 2], &[1, 1]);
    let file = open(&pickle, &[("data/0", &FOUR), ("byteorder", b"little")]).unwrap();
    assert_eq!(file.tensor("x").unwrap().to_f32(), [1.0, 2.0, 2.0, 3.0]);
}

#[test]
fn view_past_its_storage_is_refused_with_both_numbers() {
    for (offset, shape, strides, wants) in [
        (1, &[4][..], &[1][..], 5),
        (0, &[2, 2], &[4, 1], 6),
        (5, &[0], &[1], 5),
        (0, &[i32::MAX as u32; 8], &[i32::MAX as u32; 8], u64::MAX),
    ] {
        let error = open(&one_tensor(4, offset, shape, strides), &[("data/0", &FOUR)]);
        let Err(FormatError::ViewBounds { tensor, needs, has: 4 }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(tensor, "x");
        assert!(needs == wants || wants == u64::MAX && needs > 4, "{needs}");
    }
}

#[test]
fn broadcast_view_may_not_fill_the_memory() {
    let small = open(&one_tensor(4, 3, &[1000, 1000], &[0, 0]), &[("data/0", &FOUR)]).unwrap();
    assert!(small.tensor("x").unwrap().as_f32().unwrap().iter().all(|&x| x == 3.0));
    for shape in [&[1 << 30, 1 << 10][..], &[i32::MAX as u32; 8]] {
        let strides = vec![0; shape.len()];
        let error = open(&one_tensor(4, 0, shape, &strides), &[("data/0", &FOUR)]).unwrap_err();
        assert!(matches!(error, FormatError::Expansion { .. }), "{error:?}");
    }
}

#[test]
fn negative_or_too_many_dimensions_are_refused() {
    for shape in [&[u32::MAX][..], &[1; 9]] {
        let error = refusal(&one_tensor(4, 0, shape, shape));
        assert!(matches!(error, FormatError::Pickle(PickleError::Operand { .. })), "{error:?}");
    }
}

#[test]
fn big_endian_and_otherwise_compressed_files_are_refused_by_name() {
    let pickle = one_tensor(4, 0, &[4], &[1]);
    let error = open(&pickle, &[("byteorder", b"big")]).unwrap_err();
    assert!(matches!(error, FormatError::ByteOrder { found } if found == "big"));
    let mut other = torch_file(&pickle, &[("data/0", &FOUR)]);
    let central = other.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    other[central + 10] = 12;
    let error = Checkpoint::from_bytes(&other).unwrap_err();
    assert!(
        matches!(&error, FormatError::CompressedEntry { entry, .. } if entry == "m/data/0"),
        "{error:?}"
    );
}

#[test]
fn zip_without_a_pickle_is_no_checkpoint() {
    let mut zip = torch_file(b"}.", &[]);
    let at: Vec<_> = (0..zip.len()).filter(|&i| zip[i..].starts_with(b"data.pkl")).collect();
    for at in at {
        zip[at..at + 8].copy_from_slice(b"data.txt");
    }
    let error = Checkpoint::from_bytes(&zip).unwrap_err();
    assert!(matches!(error, FormatError::MissingEntry { entry: "data.pkl" }), "{error:?}");
}

#[test]
fn protocol_4_spellings_are_read() {
    let pickle = b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01n\x94\x8a\x02\xff\x7f\
        \x8c\x01s\x8f(K\x01\x90\x8c\x01o\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R(\x8c\x01fG\
        \x3f\xf8\x00\x00\x00\x00\x00\x00uu.";
    let file = open(pickle, &[]).unwrap();
    let plain: Vec<_> = file.metadata().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(plain, [("n", "32767"), ("o.f", "1.5")]);
}

#[test]
fn numpy_scalars_of_a_trainer_are_passed_over() {
    let pickle = b"\x80\x02}(X\x01\x00\x00\x00acnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n\
        (X\x02\x00\x00\x00f8\x89\x88tR(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff\
        K\x00tbc_codecs\nencode\n(X\x01\x00\x00\x00xX\x06\x00\x00\x00latin1tRtR\
        X\x01\x00\x00\x00bK\x07u.";
    let file = open(pickle, &[]).unwrap();
    assert_eq!(file.metadata().get("b").map(String::as_str), Some("7"));
    assert_eq!(file.tensors().len(), 0);
}

#[test]
fn machine_refuses_what_it_does_not_know() {
    let pickle = |bytes: &[u8]| match refusal(bytes) {
        FormatError::Pickle(error) => error,
        other => panic!("{other:?}"),
    };
    for forbidden in [
        &b"cbuiltins\neval\n."[..],
        b"\x8c\x08builtins\x8c\x04eval\x93.",
        b"c__builtin__\ngetattr\n.",
        b"ctorch\nload\n.",
        b"ctorch.hub\nload\n.",
        b"ctorch.nn.modules.linear\nLinear\n.",
        b"cfunctools\npartial\n.",
    ] {
        assert!(matches!(pickle(forbidden), PickleError::Forbidden { .. }));
    }
    // INST, OBJ, text integers, extension registry, persistent identifiers in text.
    for opcode in [b'i', b'o', b'I', 0x82, b'P'] {
        assert!(
            matches!(pickle(&[opcode, b'\n']), PickleError::Opcode { opcode: o, .. } if o == opcode)
        );
    }
    for cut in [
        &b""[..],
        b"\x80",
        b"X\x05\x00\x00\x00ab",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
        b"ccol",
    ] {
        assert!(matches!(pickle(cut), PickleError::End { .. }), "{cut:?}");
    }
    // Empty stack, no mark, value below a mark, unset memo, odd items, wrong containers, calls.
    for wrong in [
        &b"."[..],
        b"t.",
        b"K\x01(0.",
        b"h\x00.",
        b"}(K\x01u.",
        b")K\x01K\x02s.",
        b"}K\x01a.",
        b"K\x01)R.",
        b"ctorch\nSize\n)R.",
        b"ctorch\nFloatStorage\n)R.",
        b"K\x01Q.",
        b"K\x01Nb.",
        b"X\x01\x00\x00\x00\xff.",
    ] {
        assert!(matches!(pickle(wrong), PickleError::Operand { .. }), "{wrong:?}");
    }
}

#[test]
fn hostile_sizes_run_into_limits() {
    let stack = vec![b'N'; 1 << 17];
    let marks = vec![b'('; 1 << 17];
    for bytes in [stack, marks] {
        let error = refusal(&bytes);
        assert!(matches!(error, FormatError::Pickle(PickleError::Limit { .. })), "{error:?}");
    }
    let values = [b')', b'0'].repeat(3 << 20);
    let error = refusal(&values);
    assert!(matches!(error, FormatError::Pickle(PickleError::Limit { .. })), "{error:?}");
}

#[test]
fn shared_and_cyclic_dictionaries_run_into_limits() {
    // A dictionary that holds itself.
    let error = refusal(b"}q\x00X\x01\x00\x00\x00ah\x00s.");
    assert!(matches!(error, FormatError::Limit { .. }), "{error:?}");
    // Each of 30 dictionaries holds the one before twice: 2^30 names.
    let mut pickle = b"}".to_vec();
    for i in 0..30 {
        pickle.extend([b'q', i, b'0', b'}', b'(', b'K', 0, b'h', i, b'K', 1, b'h', i, b'u']);
    }
    pickle.push(b'.');
    let error = refusal(&pickle);
    assert!(matches!(error, FormatError::Limit { .. }), "{error:?}");
}

#[test]
fn names_and_roots_must_make_sense() {
    assert!(matches!(refusal(b"K\x01."), FormatError::NoDictionary));
    let file = open(b"}K\x01}NK\x02ss.", &[]).unwrap();
    assert_eq!(file.metadata()["1.None"], "2");
}
