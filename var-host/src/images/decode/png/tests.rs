//! Damage that Pillow reads over and damage that it refuses. P02.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::SIGNATURE;
use crate::images::RgbImage;
use crate::images::decode::tests::{crc32, decoded, refusal};

const WIDTH: usize = 5;
const HEIGHT: usize = 3;

/// Filtered rows of an image in which every sample tells its place.
fn rows() -> Vec<u8> {
    let row = |y: usize| (0..3 * WIDTH).map(move |x| (40 * y + 7 * x) as u8);
    (0..HEIGHT).flat_map(|y| [0].into_iter().chain(row(y))).collect()
}

fn expected() -> RgbImage {
    let rgb = rows().chunks(1 + 3 * WIDTH).flat_map(|row| &row[1..]).copied().collect();
    RgbImage::new(WIDTH, HEIGHT, rgb)
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let checked = [&kind[..], data].concat();
    let checksum = crc32(&checked).to_be_bytes();
    [&(data.len() as u32).to_be_bytes()[..], &checked, &checksum].concat()
}

/// A chunk with a wrong checksum.
fn unsound(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut chunk = chunk(kind, data);
    *chunk.last_mut().unwrap() ^= 1;
    chunk
}

fn header() -> Vec<u8> {
    let sides = [WIDTH as u32, HEIGHT as u32].map(u32::to_be_bytes).concat();
    chunk(b"IHDR", &[&sides[..], &[8, 2, 0, 0, 0]].concat())
}

/// A file of a header and these chunks.
fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
    [&SIGNATURE[..], &header(), &chunks.concat()].concat()
}

#[test]
fn png_damage_that_leaves_pixels_whole_is_read_over() {
    let (data, end) = (zlib(&rows()), chunk(b"IEND", &[]));
    let idat = || chunk(b"IDAT", &data);
    let without_checksum = data[..data.len() - 4].to_vec();
    let pieces = data.iter().map(|byte| chunk(b"IDAT", &[*byte])).collect::<Vec<_>>().concat();
    let control = |number: u8| [&[0, 0, 0, number, 0, 0, 0, 1, 0, 0, 0, 1][..], &[0; 14]].concat();
    let other_frame = [&[0, 0, 0, 1][..], &zlib(&[0, 9, 9, 9])].concat();
    for (name, chunks) in [
        ("whole", vec![idat(), end.clone()]),
        ("no end chunk", vec![idat()]),
        ("data with a wrong checksum", vec![unsound(b"IDAT", &data), end.clone()]),
        ("no zlib checksum", vec![chunk(b"IDAT", &without_checksum), end.clone()]),
        ("more data", vec![chunk(b"IDAT", &zlib(&[&rows()[..], &[0; 400]].concat())), end.clone()]),
        ("a byte a chunk", vec![pieces, end.clone()]),
        ("empty chunks", vec![chunk(b"IDAT", &[]), idat(), chunk(b"IDAT", &[]), end.clone()]),
        ("bytes behind", vec![idat(), end.clone(), b"behind".to_vec()]),
        ("a broken profile", vec![chunk(b"iCCP", b"p\0\0no zlib"), idat(), end.clone()]),
        (
            "a late chunk with a wrong checksum",
            vec![idat(), unsound(b"tIME", &[0; 7]), end.clone()],
        ),
        (
            "frames of an animation",
            vec![
                chunk(b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0]),
                idat(),
                chunk(b"fcTL", &control(0)),
                chunk(b"fdAT", &other_frame),
                end.clone(),
            ],
        ),
    ] {
        assert_eq!(decoded(&file(&chunks)).unwrap(), expected(), "{name}");
    }
    // Not even the checksum of the last chunk.
    let cut = file(&[idat()]);
    assert_eq!(decoded(&cut[..cut.len() - 4]).unwrap(), expected());
}

#[test]
fn png_damage_that_pillow_refuses_is_refused() {
    let data = zlib(&rows());
    let idat = || chunk(b"IDAT", &data);
    let mut wrong_checksum = data.clone();
    *wrong_checksum.last_mut().unwrap() ^= 1;
    let mut wrong_filter = rows();
    wrong_filter[0] = 7;
    for (chunks, fault) in [
        (vec![unsound(b"tEXt", b"Comment\0hello"), idat()], "chunk tEXt has another checksum"),
        (vec![unsound(b"abCd", b"12345"), idat()], "chunk abCd has another checksum"),
        (vec![chunk(b"gAMA", &[0, 0]), idat()], "chunk gAMA is too short"),
        (vec![chunk(b"cHRM", &[0; 7]), idat()], "chunk cHRM is too short"),
        (vec![chunk(b"IDAT", &wrong_checksum)], "its data: corrupt deflate stream"),
        (vec![chunk(b"IDAT", &zlib(&rows()[..20]))], "it is cut short"),
        (vec![chunk(b"IDAT", &zlib(&wrong_filter))], "Unknown filter method 7."),
        (vec![chunk(b"IDAT", &[0x88, 0x1c, 0, 0])], "its data: corrupt deflate stream"),
        (vec![chunk(b"IEND", &[])], "no image data"),
    ] {
        assert_eq!(refusal(&file(&chunks)), format!("damaged PNG: {fault}"));
    }
    let apple = [&SIGNATURE[..], &chunk(b"CgBI", &[0x50, 0, 0x20, 2]), &header(), &idat()].concat();
    assert_eq!(refusal(&apple), "PNG with Apple's compression (CgBI) is not supported");
    let header = chunk(b"IHDR", &[0, 0, 0, 5, 0, 0, 0, 3, 4, 2, 0, 0, 0]);
    let fault = refusal(&[&SIGNATURE[..], &header, &idat()].concat());
    assert_eq!(fault, "damaged PNG: 4 bits per sample of color type 2, filter method 0");
}
