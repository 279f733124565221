//! Decoding against Pillow, and of files that are damaged, cut short or lie about their size.

use proptest::prelude::*;
use safetensors::SafeTensors;

use super::*;
use crate::pictures::{Parameters, fixtures, png_bytes};

/// Name, file, and Pillow's RGB.
fn golden() -> Vec<(String, Vec<u8>, Picture)> {
    let bytes = fs::read(fixtures::path("pictures.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let files = tensors.names().into_iter().filter_map(|name| name.strip_prefix("file."));
    let golden: Vec<_> = files
        .map(|name| {
            let rgb = tensors.tensor(&format!("rgb.{name}")).unwrap();
            let picture = Picture::new(rgb.shape()[1], rgb.shape()[0], rgb.data().to_vec());
            let file = tensors.tensor(&format!("file.{name}")).unwrap().data().to_vec();
            (name.to_owned(), file, picture)
        })
        .collect();
    assert_eq!(golden.len(), 20);
    golden
}

fn largest_difference(a: &Picture, b: &Picture) -> u8 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    a.rgb().iter().zip(b.rgb()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn every_kind_agrees_with_pillow() {
    for (name, file, expected) in golden() {
        let tolerance = match name.as_str() {
            "jpeg_grey" => 1,
            _ if name.starts_with("jpeg") => 4,
            _ => 0,
        };
        let difference = largest_difference(&Picture::from_bytes(&file).unwrap(), &expected);
        assert!(difference <= tolerance, "{name}: differs by {difference}, allowed {tolerance}");
    }
}

#[test]
fn files_cut_short_are_refused() {
    for (name, file, _) in golden() {
        for length in (0..file.len() * 9 / 10).step_by(7) {
            assert!(Picture::from_bytes(&file[..length]).is_err(), "{name} cut to {length}");
        }
    }
}

#[test]
fn stray_bytes_between_headers_of_a_jpeg_are_passed_over() {
    for (name, file, _) in golden().into_iter().filter(|(name, ..)| name.starts_with("jpeg")) {
        let whole = Picture::from_bytes(&file).unwrap();
        assert!(file.ends_with(&END_OF_IMAGE), "{name}");
        // Behind the first segment: its marker takes two bytes, its length counts from there.
        let second = 4 + usize::from(u16::from_be_bytes([file[4], file[5]]));
        let stray = [&file[..second], &[0x11; 9], &file[second..]].concat();
        assert!(Picture::from_bytes(&stray).unwrap() == whole, "{name}");
        for length in (second..stray.len() * 9 / 10).step_by(7) {
            assert!(Picture::from_bytes(&stray[..length]).is_err(), "{name} cut to {length}");
        }
    }
}

#[test]
fn sixteen_bits_keep_the_high_byte() {
    let samples = [0x01_fe, 0x80_80, 0xff_00_u16];
    for (colour, expected) in [
        (png::ColorType::Rgb, vec![0x01, 0x80, 0xff]),
        (png::ColorType::Grayscale, vec![1, 1, 1, 0x80, 0x80, 0x80, 0xff, 0xff, 0xff]),
    ] {
        let width = 3 / colour.samples() as u32;
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, 1);
        encoder.set_color(colour);
        encoder.set_depth(png::BitDepth::Sixteen);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&samples.map(u16::to_be_bytes).concat()).unwrap();
        writer.finish().unwrap();
        assert_eq!(Picture::from_bytes(&bytes).unwrap().rgb(), expected);
    }
}

#[test]
fn lying_headers_are_refused_with_their_numbers() {
    let mut bytes = png_bytes(&Picture::filled(1, 1, [0; 3]), &Parameters::new()).unwrap();
    bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let checksum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    let fault = Picture::from_bytes(&bytes).unwrap_err();
    assert_eq!(fault.to_string(), "65536 × 65536 is too large: wants at most 268435456 pixels");
}

#[test]
fn other_content_is_named() {
    let fault = Picture::from_bytes(b"GIF89a").unwrap_err();
    assert!(matches!(fault, PictureFault::UnknownFormat { .. }), "{fault}");
    assert!(matches!(Picture::from_bytes(b""), Err(PictureFault::UnknownFormat { .. })));
}

#[test]
fn missing_file_is_named() {
    let error = Picture::open(Path::new("no/such.png")).unwrap_err();
    assert!(matches!(error.fault, PictureFault::Io(_)));
    assert!(error.to_string().starts_with("no/such.png: "), "{error}");
}

proptest! {
    #[test]
    fn damaged_files_do_not_panic(kind in 0_usize..20, hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let (_, mut file, _) = golden().swap_remove(kind);
        for (index, byte) in hits {
            let at = index.index(file.len());
            file[at] = byte;
        }
        let _ = Picture::from_bytes(&file);
    }
}

/// PNG's checksum, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}
