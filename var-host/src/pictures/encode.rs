//! PNG files with the parameters that made them as text.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use super::{Picture, PictureError, PictureFault, check_size};
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
    picture: &Picture,
    parameters: &Parameters,
    overwrite: bool,
) -> Result<(), PictureError> {
    let bytes = png_bytes(picture, parameters).map_err(|fault| fault.of(path))?;
    let mut file =
        AtomicFile::create(path, overwrite).map_err(|error| PictureFault::from(error).of(path))?;
    file.write_all(&bytes).map_err(|error| PictureFault::Io(error).of(path))?;
    file.commit().map_err(|error| PictureFault::from(error).of(path))
}

/// The bytes of a PNG file with `parameters` as text.
///
/// ASCII text is kept as `tEXt`, which every reader knows, other text as UTF-8 in `iTXt`.
///
/// # Errors
/// If a parameter cannot be kept, see [`write_png`].
pub fn png_bytes(picture: &Picture, parameters: &Parameters) -> Result<Vec<u8>, PictureFault> {
    let side = |length: usize| u32::try_from(length).expect("a picture's sides fit in 32 bits");
    check_size(picture.width as u64, picture.height as u64)?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(picture.width), side(picture.height));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    for (keyword, text) in parameters {
        let latin = keyword.chars().all(|c| ('\u{1}'..='\u{ff}').contains(&c));
        if !latin || !(1..=79).contains(&keyword.chars().count()) || text.contains('\0') {
            return Err(PictureFault::Parameter { keyword: keyword.clone() });
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

/// Reads the texts of a PNG file; of a keyword that is there twice, the last.
///
/// # Errors
/// If the file cannot be read, or is no PNG or a damaged one.
pub fn read_parameters(path: &Path) -> Result<Parameters, PictureError> {
    let bytes = fs::read(path).map_err(|fault| PictureFault::Io(fault).of(path))?;
    parameters_from_bytes(&bytes).map_err(|fault| fault.of(path))
}

fn parameters_from_bytes(bytes: &[u8]) -> Result<Parameters, PictureFault> {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info()?;
    // Text may follow the pixels.
    reader.finish()?;
    let info = reader.info();
    let mut parameters = Parameters::new();
    for chunk in &info.uncompressed_latin1_text {
        parameters.insert(chunk.keyword.clone(), chunk.text.clone());
    }
    for chunk in &info.compressed_latin1_text {
        parameters.insert(chunk.keyword.clone(), chunk.get_text()?);
    }
    for chunk in &info.utf8_text {
        parameters.insert(chunk.keyword.clone(), chunk.get_text()?);
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pictures::Exif;

    #[test]
    fn existing_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let (black, white) = (Picture::filled(2, 3, [0; 3]), Picture::filled(2, 3, [255; 3]));
        write_png(&path, &black, &Parameters::new(), false).unwrap();
        let refused = write_png(&path, &white, &Parameters::new(), false).unwrap_err();
        assert!(refused.to_string().ends_with("a.png: exists already and is not overwritten"));
        assert_eq!(Picture::open(&path).unwrap(), black);
        write_png(&path, &white, &Parameters::new(), true).unwrap();
        assert_eq!(Picture::open(&path).unwrap(), white);
    }

    #[test]
    fn unkeepable_parameters_are_refused() {
        let picture = Picture::filled(1, 1, [0; 3]);
        let long = "k".repeat(80);
        for (keyword, text) in [("", "a"), (&long, "a"), ("a\0b", "c"), ("a", "b\0c"), ("键", "a")]
        {
            let parameters = Parameters::from([(keyword.to_owned(), text.to_owned())]);
            let fault = png_bytes(&picture, &parameters).unwrap_err();
            assert!(matches!(fault, PictureFault::Parameter { .. }), "{keyword:?}: {fault}");
        }
    }

    proptest! {
        #[test]
        fn pixels_and_parameters_come_back(
            (w, h) in (1_usize..40, 1_usize..40),
            seed: u64,
            parameters in prop::collection::btree_map("[a-zA-Z0-9 é]{1,79}", "[^\0]{0,200}", 0..5),
        ) {
            let step = |i: usize| (seed.wrapping_mul(2 * i as u64 + 1) >> 32) as u8;
            let picture = Picture::new(w, h, (0..w * h * 3).map(step).collect());
            let bytes = png_bytes(&picture, &parameters).unwrap();
            prop_assert_eq!(Picture::from_bytes(&bytes, Exif::Ignored).unwrap(), picture);
            prop_assert_eq!(parameters_from_bytes(&bytes).unwrap(), parameters);
        }
    }
}
