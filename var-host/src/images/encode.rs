//! PNG files with the parameters that made them as text.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::Path;

use super::{ImageError, ImageFault, PIXEL_LIMIT, RgbImage, check_size};
use crate::atomic_file::AtomicFile;

/// Keyword → text, as kept in a PNG file.
pub type Parameters = BTreeMap<String, String>;

/// Writes a PNG file with `parameters` as text, under a temporary name until it is whole.
///
/// # Errors
/// If the system cannot write, if the file exists and `overwrite` is false, or if a parameter
/// cannot be kept: a keyword is 1 to 79 Latin-1 characters, and neither it nor its text has a NUL.
pub fn write_png(
    path: &Path,
    picture: &RgbImage,
    parameters: &Parameters,
    overwrite: bool,
) -> Result<(), ImageError> {
    let bytes = png_bytes(picture, parameters).map_err(|fault| fault.of(path))?;
    let mut file =
        AtomicFile::create(path, overwrite).map_err(|error| ImageFault::from(error).of(path))?;
    file.write_all(&bytes).map_err(|error| ImageFault::Io(error).of(path))?;
    file.commit().map_err(|error| ImageFault::from(error).of(path))
}

/// The bytes of a PNG file with `parameters` as text.
///
/// ASCII text is kept as `tEXt`, which every reader knows, other text as UTF-8 in `iTXt`.
///
/// # Errors
/// If a parameter cannot be kept, see [`write_png`].
pub fn png_bytes(picture: &RgbImage, parameters: &Parameters) -> Result<Vec<u8>, ImageFault> {
    let side = |length: usize| u32::try_from(length).expect("an image's sides fit in 32 bits");
    check_size(picture.width as u64, picture.height as u64, PIXEL_LIMIT)?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(picture.width), side(picture.height));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    for (keyword, text) in parameters {
        let latin = keyword.chars().all(|c| ('\u{1}'..='\u{ff}').contains(&c));
        if !latin || !(1..=79).contains(&keyword.chars().count()) || text.contains('\0') {
            return Err(ImageFault::Parameter { keyword: keyword.clone() });
        }
        if text.is_ascii() {
            encoder.add_text_chunk(keyword.clone(), text.clone())?;
        } else {
            encoder.add_itxt_chunk(keyword.clone(), text.clone())?;
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.rgb)?;
    writer.finish()?;
    Ok(bytes)
}

/// The most bytes that all texts of a PNG file may take together, unpacked.
const TEXT_LIMIT: usize = 16 << 20;

/// Reads the texts before the pixels of a PNG file, where [`write_png`] has them; of a keyword that is
/// there twice, the last. The pixels are not read.
///
/// # Errors
/// If the file cannot be read, is no PNG or a damaged one, or has more than 16 MiB of texts.
pub fn read_parameters(path: &Path) -> Result<Parameters, ImageError> {
    let file = File::open(path).map_err(|fault| ImageFault::Io(fault).of(path))?;
    parameters_from(BufReader::new(file)).map_err(|fault| fault.of(path))
}

fn parameters_from(source: impl BufRead + Seek) -> Result<Parameters, ImageFault> {
    let mut decoder = png::Decoder::new(source);
    decoder.set_ignore_iccp_chunk(true);
    let reader = decoder.read_info()?;
    let (info, mut parameters, mut left) = (reader.info(), Parameters::new(), TEXT_LIMIT);
    let too_long = ImageFault::TextTooLong { limit: TEXT_LIMIT };
    for chunk in &info.uncompressed_latin1_text {
        let Some(rest) = left.checked_sub(chunk.text.len()) else { return Err(too_long) };
        left = rest;
        parameters.insert(chunk.keyword.clone(), chunk.text.clone());
    }
    for chunk in &info.compressed_latin1_text {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(left)?;
        let text = chunk.get_text()?;
        let Some(rest) = left.checked_sub(text.len()) else { return Err(too_long) };
        left = rest;
        parameters.insert(chunk.keyword, text);
    }
    for chunk in &info.utf8_text {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(left)?;
        let text = chunk.get_text()?;
        let Some(rest) = left.checked_sub(text.len()) else { return Err(too_long) };
        left = rest;
        parameters.insert(chunk.keyword, text);
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::images::Exif;

    #[test]
    fn existing_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let (black, white) = (RgbImage::filled(2, 3, [0; 3]), RgbImage::filled(2, 3, [255; 3]));
        write_png(&path, &black, &Parameters::new(), false).unwrap();
        let refused = write_png(&path, &white, &Parameters::new(), false).unwrap_err();
        assert!(refused.to_string().ends_with("a.png: exists already and is not overwritten"));
        assert_eq!(RgbImage::open(&path).unwrap(), black);
        write_png(&path, &white, &Parameters::new(), true).unwrap();
        assert_eq!(RgbImage::open(&path).unwrap(), white);
    }

    #[test]
    fn unkeepable_parameters_are_refused() {
        let picture = RgbImage::filled(1, 1, [0; 3]);
        let long = "k".repeat(80);
        for (keyword, text) in [("", "a"), (&long, "a"), ("a\0b", "c"), ("a", "b\0c"), ("键", "a")]
        {
            let parameters = Parameters::from([(keyword.to_owned(), text.to_owned())]);
            let fault = png_bytes(&picture, &parameters).unwrap_err();
            assert!(matches!(fault, ImageFault::Parameter { .. }), "{keyword:?}: {fault}");
        }
    }

    /// An image with a text that is packed.
    fn packed(keyword: &str, text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.add_ztxt_chunk(keyword.to_owned(), text.to_owned()).unwrap();
        encoder.write_header().unwrap().write_image_data(&[1, 2, 3]).unwrap();
        bytes
    }

    // Audit 11: a text of 4 MB that unpacks to 4 GB.
    #[test]
    fn texts_that_unpack_to_more_than_the_limit_are_refused() {
        let short = parameters_from(Cursor::new(packed("seed", "7"))).unwrap();
        assert_eq!(short["seed"], "7");
        let bomb = packed("command", &"0".repeat(TEXT_LIMIT + 1));
        assert!(bomb.len() < 1 << 20);
        let fault = parameters_from(Cursor::new(&bomb)).unwrap_err().to_string();
        assert!(fault.contains("decompress"), "{fault}");
        let half = "0".repeat(TEXT_LIMIT / 2 + 1);
        let both = [("a", half.clone()), ("b", half)].map(|(key, text)| (key.to_owned(), text));
        let both = png_bytes(&RgbImage::filled(1, 1, [0; 3]), &both.into()).unwrap();
        let fault = parameters_from(Cursor::new(&both)).unwrap_err().to_string();
        assert_eq!(fault, "has texts of more than 16777216 bytes");
    }

    proptest! {
        #[test]
        fn pixels_and_parameters_come_back(
            (w, h) in (1_usize..40, 1_usize..40),
            seed: u64,
            parameters in prop::collection::btree_map("[a-zA-Z0-9 é]{1,79}", "[^\0]{0,200}", 0..5),
        ) {
            let step = |i: usize| (seed.wrapping_mul(2 * i as u64 + 1) >> 32) as u8;
            let picture = RgbImage::new(w, h, (0..w * h * 3).map(step).collect());
            let bytes = png_bytes(&picture, &parameters).unwrap();
            prop_assert_eq!(RgbImage::from_bytes(&bytes, Exif::Ignored).unwrap(), picture);
            prop_assert_eq!(parameters_from(Cursor::new(&bytes)).unwrap(), parameters);
        }
    }
}
