//! Archives written, read and damaged.

use std::fs;
use std::io::Write;
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::header::NpyHeader;
use super::*;

fn archive(path: &Path, members: &[(&str, &[u8])], method: CompressionMethod) {
    let mut zip = ZipWriter::new(fs::File::create(path).unwrap());
    for (name, bytes) in members {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn fault(path: &Path, array: &str) -> String {
    let fault = Npz::open(path).and_then(|mut npz| npz.floats(array).map(|_| ())).unwrap_err();
    fault.to_string().replace(&path.display().to_string(), "FILE")
}

#[test]
fn arrays_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let mut writer = NpzWriter::create(&path, false).unwrap();
    writer.begin("arr_0", NpyDtype::U8, &[2, 1, 1, 3]).unwrap();
    writer.write(&[1, 2, 3]).unwrap();
    assert!(!path.exists());
    writer.write(&[4, 5, 6]).unwrap();
    writer.floats("mu", &[2], &[0.5, -1e300]).unwrap();
    writer.finish().unwrap();

    let mut npz = Npz::open(&path).unwrap();
    assert!(npz.contains("mu") && !npz.contains("sigma"));
    let mut images = npz.elements("arr_0").unwrap();
    assert_eq!((images.shape(), images.element()), (&[2, 1, 1, 3][..], NpyDtype::U8));
    let mut bytes = [0; 6];
    images.read(&mut bytes[..2]).unwrap();
    images.read(&mut bytes[2..]).unwrap();
    images.finish().unwrap();
    assert_eq!(bytes, [1, 2, 3, 4, 5, 6]);
    assert_eq!(npz.floats("mu").unwrap(), (vec![2], vec![0.5, -1e300]));
    // Both sizes in the local header are left to the 64-bit extra field.
    let file = fs::read(&path).unwrap();
    assert_eq!((&file[4..6], &file[18..26]), (&[45, 0][..], &[0xff; 8][..]));
    assert!(NpzWriter::create(&path, false).is_err());
    // Deterministic: no clock in it.
    let again = folder.path().join("b.npz");
    let mut writer = NpzWriter::create(&again, false).unwrap();
    writer.begin("arr_0", NpyDtype::U8, &[2, 1, 1, 3]).unwrap();
    writer.write(&bytes).unwrap();
    writer.floats("mu", &[2], &[0.5, -1e300]).unwrap();
    writer.finish().unwrap();
    assert_eq!(fs::read(&again).unwrap(), file);
}

#[test]
fn compressed_archives_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let values: Vec<u8> = (0..500).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let member = [NpyHeader::bytes(NpyDtype::F32, &[500]), values].concat();
    archive(&path, &[("mu.npy", &member)], CompressionMethod::Deflated);
    let (shape, floats) = Npz::open(&path).unwrap().floats("mu").unwrap();
    assert_eq!((shape, floats[499]), (vec![500], 499.0));
}

/// An array with another text in its header, as long as the one there.
fn changed(array: &[u8], from: &str, to: &str) -> Vec<u8> {
    let header = String::from_utf8_lossy(&array[10..128]).replace(from, to);
    assert_eq!(header.len(), 118);
    [&array[..10], header.as_bytes(), &array[128..]].concat()
}

/// N01: statistics as other machines and other programs store them.
#[test]
fn floats_are_read_in_every_order_and_width() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let values = [[0.5_f64, -1.25, 3.0], [1024.0, 0.0, -0.0]];
    let rows = values.concat();
    let columns = Vec::from_iter((0..6).map(|i| values[i % 2][i / 2]));
    let array = |descr: &str, fortran: bool, elements: Vec<u8>| {
        let header = [NpyHeader::bytes(NpyDtype::F32, &[2, 3]), elements].concat();
        let header = changed(&header, "'<f4'", &format!("'{descr}'"));
        if fortran { changed(&header, "False", "True ") } else { header }
    };
    let bytes = |values: &[f64], size: usize, swapped: bool| -> Vec<u8> {
        let element = |value: &f64| {
            let mut bytes = match size {
                2 => half::f16::from_f64(*value).to_le_bytes().to_vec(),
                4 => (*value as f32).to_le_bytes().to_vec(),
                _ => value.to_le_bytes().to_vec(),
            };
            if swapped {
                bytes.reverse();
            }
            bytes
        };
        values.iter().flat_map(element).collect()
    };
    for size in [2, 4, 8] {
        for (order, swapped) in [("<", false), (">", true)] {
            for (fortran, elements) in [(false, &rows), (true, &columns)] {
                let descr = format!("{order}f{size}");
                let member = array(&descr, fortran, bytes(elements, size, swapped));
                archive(&path, &[("mu.npy", &member)], CompressionMethod::Deflated);
                let read = Npz::open(&path).unwrap().floats("mu").unwrap();
                assert_eq!(read, (vec![2, 3], rows.clone()), "{descr}, {fortran}");
            }
        }
    }
}

#[test]
fn archive_that_is_not_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = NpzWriter::create(&folder.path().join("a.npz"), false).unwrap();
    writer.begin("arr_0", NpyDtype::U8, &[2]).unwrap();
    writer.write(&[1]).unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn damaged_archives_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let floats = |shape: &[usize], count: usize| {
        [NpyHeader::bytes(NpyDtype::F32, shape), vec![0; 4 * count]].concat()
    };
    let stored = |members: &[(&str, &[u8])]| archive(&path, members, CompressionMethod::Stored);

    fs::write(&path, b"\x93NUMPZ not a zip").unwrap();
    assert!(fault(&path, "mu").starts_with("FILE: is no .npz archive"), "{}", fault(&path, "mu"));
    fs::write(&path, floats(&[1], 1)).unwrap();
    assert!(fault(&path, "mu").starts_with("FILE: is a single array (.npy)"));
    stored(&[("a.npy", &floats(&[1], 1)), ("b.npy", b"")]);
    assert_eq!(fault(&path, "mu"), "FILE: has no array mu; it has a, b");
    assert_eq!(fault(&path, "b"), "FILE: b: its header is none of NumPy's: cut short");
    stored(&[("mu.npy", &floats(&[5, 2], 9))]);
    assert_eq!(fault(&path, "mu"), "FILE: mu: its shape [5, 2] wants 40 bytes, the file has 36");
    stored(&[("mu.npy", &floats(&[usize::MAX, 8], 9))]);
    assert!(fault(&path, "mu").contains("wants 18446744073709551615 bytes"));
    stored(&[("mu.npy", &[NpyHeader::bytes(NpyDtype::U8, &[1]), vec![7]].concat())]);
    assert_eq!(
        fault(&path, "mu"),
        "FILE: mu: its elements are \"|u1\", wants floats of 2, 4 or 8 bytes"
    );
    let fortran = changed(&floats(&[2, 1, 2], 4), "False", "True ");
    stored(&[("mu.npy", &fortran)]);
    assert!(fault(&path, "mu").contains("columns first"), "{}", fault(&path, "mu"));
    let images = Npz::open(&path).unwrap().elements("mu").err().unwrap().to_string();
    assert!(images.contains("columns first"), "{images}");
    for descr in ["|O", "<i8", ">U3", "<c8", "|V4"] {
        stored(&[(
            "mu.npy",
            &changed(&floats(&[4], 4), "'<f4'", &format!("{:5}", format!("'{descr}'"))),
        )]);
        let wants =
            format!("FILE: mu: its elements are {descr:?}, wants floats of 2, 4 or 8 bytes");
        assert_eq!(fault(&path, "mu"), wants);
    }

    // A flipped bit in the elements.
    stored(&[("mu.npy", &floats(&[4], 4))]);
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.windows(6).position(|window| window == b"\x93NUMPY").unwrap() + 130;
    bytes[place] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(fault(&path, "mu"), "FILE: Invalid checksum");
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(fault(&path, "mu").starts_with("FILE: "), "{}", fault(&path, "mu"));
}
