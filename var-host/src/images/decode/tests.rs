//! Decoding against Pillow, and of files that are damaged, cut short or lie about their size.

use proptest::prelude::*;
use safetensors::SafeTensors;

use super::*;
use crate::images::{PIXEL_LIMIT, Parameters, fixtures, png_bytes};

/// Name, file, and Pillow's RGB.
fn golden() -> Vec<(String, Vec<u8>, RgbImage)> {
    let mut golden = Vec::new();
    for (fixture, count) in [("pictures.safetensors", 20), ("formats.safetensors", 54)] {
        let bytes = fs::read(fixtures::path(fixture)).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let before = golden.len();
        for name in tensors.names().into_iter().filter_map(|name| name.strip_prefix("file.")) {
            let rgb = tensors.tensor(&format!("rgb.{name}")).unwrap();
            let picture = RgbImage::new(rgb.shape()[1], rgb.shape()[0], rgb.data().to_vec());
            let file = tensors.tensor(&format!("file.{name}")).unwrap().data().to_vec();
            golden.push((name.to_owned(), file, picture));
        }
        assert_eq!(golden.len() - before, count, "{fixture}");
    }
    golden
}

/// The file of a name and Pillow's RGB of it.
pub(super) fn golden_file(name: &str) -> (Vec<u8>, RgbImage) {
    let (_, file, picture) = golden().into_iter().find(|(other, ..)| other == name).unwrap();
    (file, picture)
}

pub(super) fn decoded(bytes: &[u8]) -> Result<RgbImage, ImageFault> {
    RgbImage::from_bytes(bytes, Exif::Ignored)
}

/// The message of a file that must be refused.
pub(super) fn refusal(bytes: &[u8]) -> String {
    decoded(bytes).expect_err("is refused").to_string()
}

// D03, audit 9: every format to the byte, JPEG too.
#[test]
fn every_kind_agrees_with_pillow() {
    for (name, file, expected) in golden() {
        let picture = decoded(&file).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!((picture.width(), picture.height()), (expected.width(), expected.height()));
        let differences = picture.rgb().iter().zip(expected.rgb()).map(|(a, b)| a.abs_diff(*b));
        assert_eq!(differences.max(), Some(0), "{name}");
    }
}

#[test]
fn files_cut_short_are_refused() {
    for (name, file, _) in golden() {
        // The last 24 bytes of a PNG are checksums and the end chunk, which may be missing.
        for length in (0..(file.len() * 9 / 10).min(file.len().saturating_sub(24))).step_by(7) {
            // The first frame of an animation may be whole long before the file's end.
            let is_refused = decoded(&file[..length]).is_err();
            assert!(is_refused || name.contains("animated"), "{name} cut to {length}");
        }
    }
}

#[test]
fn sixteen_bits_keep_the_high_byte_but_gray_saturates() {
    let samples = [0x00_fe, 0x80_80, 0xff_00_u16];
    for (color, expected) in [
        (::png::ColorType::Rgb, vec![0x00, 0x80, 0xff]),
        (::png::ColorType::Grayscale, vec![254, 254, 254, 255, 255, 255, 255, 255, 255]),
    ] {
        let width = 3 / color.samples() as u32;
        let mut bytes = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut bytes, width, 1);
        encoder.set_color(color);
        encoder.set_depth(::png::BitDepth::Sixteen);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&samples.map(u16::to_be_bytes).concat()).unwrap();
        writer.finish().unwrap();
        assert_eq!(decoded(&bytes).unwrap().rgb(), expected);
    }
}

/// `file` with `bytes` at `place`.
fn with(mut file: Vec<u8>, place: usize, bytes: &[u8]) -> Vec<u8> {
    file[place..place + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn lying_headers_are_refused_with_their_numbers() {
    let mut bytes = png_bytes(&RgbImage::filled(1, 1, [0; 3]), &Parameters::new()).unwrap();
    bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let checksum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    let large = |width: u64, height: u64| {
        format!("{width} × {height} is too large: wants at most {PIXEL_LIMIT} pixels")
    };
    assert_eq!(refusal(&bytes), large(65536, 65536));

    let file = |name| golden_file(name).0;
    let (jpeg, gif, bmp, tiff) =
        (file("jpeg_420"), file("gif"), file("bmp_24_top_down"), file("tiff_strips"));
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    assert_eq!(refusal(&with(jpeg.clone(), frame + 5, &[0xff; 4])), large(65535, 65535));
    assert_eq!(refusal(&with(jpeg, frame + 5, &[0, 0])), "has no pixels: 37 × 0");
    assert_eq!(refusal(&with(gif.clone(), 6, &[0xff; 4])), large(65535, 65535));
    assert_eq!(refusal(&with(bmp.clone(), 18, &[0xff; 4])), large(u32::MAX.into(), 7));
    assert_eq!(refusal(&with(bmp, 22, &[0; 4])), "has no pixels: 11 × 0");
    // The first entry of the directory is the width.
    let directory = u32::from_le_bytes(*tiff[4..].first_chunk().unwrap()) as usize;
    assert_eq!(refusal(&with(tiff, directory + 10, &[0xff; 4])), large(u32::MAX.into(), 7));
    assert_eq!(refusal(b"P6 65536 65536 255 "), large(65536, 65536));
    assert_eq!(refusal(b"P5 0 7 255 "), "has no pixels: 0 × 7");
    assert_eq!(refusal(b"P6 16384 16384 255 abc"), "damaged PNM: it is cut short");
    let webp = with(file("webp_lossy"), 0, b"RIFX");
    assert!(refusal(&webp).contains("begins with bytes"));
}

#[test]
fn other_content_is_named() {
    let fault = decoded(b"%PDF-1.7").unwrap_err();
    assert!(matches!(fault, ImageFault::UnknownFormat { .. }), "{fault}");
    assert!(matches!(decoded(b""), Err(ImageFault::UnknownFormat { .. })));
}

#[test]
fn missing_file_is_named() {
    let error = RgbImage::open(Path::new("no/such.png")).unwrap_err();
    assert!(matches!(error.fault, ImageFault::Io(_)));
    assert!(error.to_string().starts_with("no/such.png: "), "{error}");
}

// EXIF orientation 6 is applied where it is asked for, and in TIFF always.
#[test]
fn exif_turns_where_it_is_applied() {
    for name in ["jpeg_turned", "png_turned", "webp_turned"] {
        let (file, stored) = golden_file(name);
        assert_eq!(decoded(&file).unwrap(), stored, "{name}");
        let turned = RgbImage::from_bytes(&file, Exif::Applied).unwrap();
        assert_eq!(turned, exif::upright(stored.clone(), 6), "{name}");
        assert_eq!((turned.width(), turned.height()), (stored.height(), stored.width()), "{name}");
    }
    let (file, turned) = golden_file("tiff_turned");
    assert_eq!((turned.width(), turned.height()), (7, 11));
    for exif in [Exif::Ignored, Exif::Applied] {
        assert_eq!(RgbImage::from_bytes(&file, exif).unwrap(), turned);
    }
}

// J07: a broken EXIF block is no reason to refuse an image, nor to turn it.
#[test]
fn broken_exif_is_passed_over() {
    let (file, stored) = golden_file("jpeg_turned");
    let block = file.windows(6).position(|bytes| bytes == b"Exif\0\0").unwrap() + 6;
    for (place, bytes) in [(0, &b"XX"[..]), (4, &[0xff; 4]), (8, &[0xff; 2]), (8, &[0, 0])] {
        let broken = with(file.clone(), block + place, bytes);
        assert_eq!(RgbImage::from_bytes(&broken, Exif::Applied).unwrap(), stored, "{place}");
    }
}

// P02: WebP cut behind its pixels is refused, as by libwebp; bytes behind are not looked at.
#[test]
fn webp_is_as_long_as_it_says() {
    let (file, expected) = golden_file("webp_lossy");
    assert_eq!(decoded(&[&file[..], b"behind"].concat()).unwrap(), expected);
    assert_eq!(refusal(&file[..file.len() - 1]), "damaged WebP: it is cut short");
}

proptest! {
    #[test]
    fn damaged_files_do_not_panic(kind in 0_usize..74, hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let (_, mut file, _) = golden().swap_remove(kind);
        for (index, byte) in hits {
            let at = index.index(file.len());
            file[at] = byte;
        }
        let _ = RgbImage::from_bytes(&file, Exif::Applied);
    }
}

/// PNG's checksum, bit by bit.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}
