//! TIFF: the first page, in strips or tiles, raw or by PackBits, LZW or Deflate.
//!
//! Bilevel, gray, palette, RGB and CMYK of whole numbers, as Pillow's `convert("RGB")` has them:
//! alpha is dropped after colors are divided by it where they were multiplied; 16-bit colors keep
//! their high byte and 16-bit gray saturates at 255. The orientation tag belongs to the format and
//! is applied always, as Pillow does. Everything else is refused by name.

use self::chunks::TiffChunks;
use self::directory::{Directory, ORIENTATION};
use self::layout::TiffLayout;
use super::exif::upright;
use crate::images::{ImageFault, RgbImage};

mod chunks;
pub(super) mod directory;
mod layout;

pub(super) fn decode(bytes: &[u8], pixel_limit: u64) -> Result<RgbImage, ImageFault> {
    let directory = Directory::first(bytes)?;
    directory.check_whole()?;
    let layout = TiffLayout::of(&directory, pixel_limit)?;
    let samples = TiffChunks::of(&directory, &layout, pixel_limit)?.samples(bytes)?;
    let picture = RgbImage::new(layout.width, layout.height, layout.rgb(samples, &directory));
    Ok(upright(picture, directory.value(ORIENTATION).unwrap_or(1).min(9) as u8))
}
