//! Bytes of a PNG, JPEG or WebP file → RGB, the format told by the content.
//!
//! The rules are those of Pillow's `convert("RGB")`, which the published training used:
//! alpha and transparent colours are dropped, not composited; palettes are looked up; grey is
//! repeated; EXIF orientation is not applied; embedded colour profiles are not applied; of an
//! animation the first frame is taken. Two differences are meant: 16-bit grey keeps its high byte
//! as 16-bit colour does (Pillow saturates at 255), and JPEG rounds by its own decoder (at most 5
//! from Pillow's on colour with halved chroma). Four-channel JPEG is read as Adobe writes it,
//! inverted: each colour is multiplied by black.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{PIXEL_LIMIT, Picture, PictureError, PictureFault, check_size};

impl Picture {
    /// Reads a PNG, JPEG or WebP file; the format is told by the content, not the name.
    ///
    /// # Errors
    /// If the file cannot be read, is of another format, is damaged or cut short, or has no pixels
    /// or more than [`PIXEL_LIMIT`].
    pub fn open(path: &Path) -> Result<Self, PictureError> {
        let bytes = fs::read(path).map_err(|fault| PictureFault::Io(fault).of(path))?;
        Self::from_bytes(&bytes).map_err(|fault| fault.of(path))
    }

    /// Decodes the bytes of a PNG, JPEG or WebP file.
    ///
    /// # Errors
    /// As [`Picture::open`], without the file's name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PictureFault> {
        match bytes {
            [0x89, b'P', b'N', b'G', ..] => png(bytes),
            [0xff, 0xd8, ..] => jpeg(bytes),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp(bytes),
            _ => Err(PictureFault::UnknownFormat { start: bytes[..bytes.len().min(12)].to_vec() }),
        }
    }
}

fn png(bytes: &[u8]) -> Result<Picture, PictureFault> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    // A damaged comment or profile is no reason to refuse the pixels.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info()?;
    let (width, height) = (header.width, header.height);
    check_size(width.into(), height.into())?;
    let mut reader = decoder.read_info()?;
    let (colour, _) = reader.output_color_type();
    let channels = colour.samples();
    let mut samples = vec![0; width as usize * height as usize * channels];
    reader.next_frame(&mut samples)?;
    let rgb = match channels {
        1 | 2 => samples.chunks_exact(channels).flat_map(|pixel| [pixel[0]; 3]).collect(),
        3 => samples,
        _ => drop_alpha(samples),
    };
    Ok(Picture::new(width as usize, height as usize, rgb))
}

fn jpeg(bytes: &[u8]) -> Result<Picture, PictureFault> {
    // Strict, because otherwise a file cut short decodes to a picture with a grey lower part. Stray
    // bytes between headers, which cameras and old programs leave, are no fault in a file that has
    // its end.
    match jpeg_by(bytes, true) {
        Err(PictureFault::Jpeg(DecodeErrors::FormatStatic(text)))
            if text.contains("Extra bytes between headers") && bytes.ends_with(&END_OF_IMAGE) =>
        {
            jpeg_by(bytes, false)
        }
        strictly => strictly,
    }
}

/// The marker that ends a JPEG.
const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];

fn jpeg_by(bytes: &[u8], strict: bool) -> Result<Picture, PictureFault> {
    let options = DecoderOptions::default()
        .set_max_width(u16::MAX.into())
        .set_max_height(u16::MAX.into())
        .set_strict_mode(strict)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers()?;
    let (width, height) = decoder.dimensions().expect("the headers were decoded");
    check_size(width as u64, height as u64)?;
    let mut rgb = vec![0; width * height * 3];
    decoder.decode_into(&mut rgb)?;
    Ok(Picture::new(width, height, rgb))
}

fn webp(bytes: &[u8]) -> Result<Picture, PictureFault> {
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes))?;
    decoder.set_memory_limit(PIXEL_LIMIT as usize * 4);
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into())?;
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let mut samples = vec![0; width as usize * height as usize * channels];
    decoder.read_image(&mut samples)?;
    let rgb = if channels == 4 { drop_alpha(samples) } else { samples };
    Ok(Picture::new(width as usize, height as usize, rgb))
}

/// RGBA → RGB in the same memory.
fn drop_alpha(mut samples: Vec<u8>) -> Vec<u8> {
    let pixels = samples.len() / 4;
    for pixel in 1..pixels {
        samples.copy_within(pixel * 4..pixel * 4 + 3, pixel * 3);
    }
    samples.truncate(pixels * 3);
    samples
}

#[cfg(test)]
mod tests;
