//! Bytes of an image file → RGB, the format told by the content.
//!
//! The rules are those of Pillow's `convert("RGB")`, which the published training used:
//! alpha and transparent colors are dropped, not composited; palettes are looked up; gray is
//! repeated; 16-bit gray saturates at 255; embedded color profiles are not applied; of an animation
//! the first frame is taken. Damaged files are refused, also where Pillow fills the rest with gray.
//! Each format's module tells its own rules.

use std::fs;
use std::path::Path;

pub use self::exif::Exif;
use super::{ImageError, ImageFault, PIXEL_LIMIT, RgbImage};

mod bmp;
mod channels;
mod exif;
mod gif;
mod jpeg;
mod png;
mod pnm;
mod tiff;
mod webp;

impl RgbImage {
    /// Reads an image file as it is stored; the format is told by the content, not the name.
    ///
    /// # Errors
    /// If the file cannot be read, is of another format than PNG, JPEG, WebP, BMP, GIF, TIFF and
    /// Netpbm, is damaged or cut short, or has no pixels or more than
    /// [`PIXEL_LIMIT`].
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        Self::open_with(path, Exif::Ignored)
    }

    /// Reads an image file, and turns it where `exif` says so.
    ///
    /// # Errors
    /// As [`RgbImage::open`].
    pub fn open_with(path: &Path, exif: Exif) -> Result<Self, ImageError> {
        let bytes = fs::read(path).map_err(|fault| ImageFault::Io(fault).of(path))?;
        Self::from_bytes(&bytes, exif).map_err(|fault| fault.of(path))
    }

    /// Decodes the bytes of an image file.
    ///
    /// # Errors
    /// As [`RgbImage::open`], without the file's name.
    pub fn from_bytes(bytes: &[u8], exif: Exif) -> Result<Self, ImageFault> {
        Self::from_bytes_within(bytes, exif, PIXEL_LIMIT)
    }

    /// The same of at most `pixel_limit` pixels, which the header tells before memory is taken for them.
    ///
    /// # Errors
    /// As [`RgbImage::from_bytes`]; no limit is above [`PIXEL_LIMIT`].
    pub fn from_bytes_within(
        bytes: &[u8],
        exif: Exif,
        pixel_limit: u64,
    ) -> Result<Self, ImageFault> {
        let limit = pixel_limit.min(PIXEL_LIMIT);
        let picture = match bytes {
            [0x89, b'P', b'N', b'G', ..] => png::decode(bytes, limit),
            [0xff, 0xd8, 0xff, ..] => jpeg::decode(bytes, limit),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
                webp::decode(bytes, limit)
            }
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => gif::decode(bytes, limit),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => {
                tiff::decode(bytes, limit)
            }
            [b'B', b'M', ..] => bmp::decode(bytes, limit),
            _ if pnm::is_pnm(bytes) => pnm::decode(bytes, limit),
            _ => Err(ImageFault::UnknownFormat { start: bytes[..bytes.len().min(12)].to_vec() }),
        }?;
        Ok(match exif {
            Exif::Ignored => picture,
            Exif::Applied => exif::upright(picture, exif::orientation(bytes)),
        })
    }
}

#[cfg(test)]
mod tests;
