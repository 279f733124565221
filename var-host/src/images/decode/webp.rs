//! WebP: the image, or the first frame of an animation.

use std::io::Cursor;

use super::channels::drop_alpha;
use crate::images::{ImageFault, PIXEL_LIMIT, RgbImage, check_size};

pub(super) fn decode(bytes: &[u8], pixel_limit: u64) -> Result<RgbImage, ImageFault> {
    // Unlike libwebp, the decoder does not notice a file cut off behind the pixels.
    let length = bytes[4..].first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    if bytes.len() - 8 < length as usize {
        let fault = "it is cut short".to_owned();
        return Err(ImageFault::Damaged { format: "WebP", fault });
    }
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes))?;
    decoder.set_memory_limit(PIXEL_LIMIT as usize * 4);
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into(), pixel_limit)?;
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let mut samples = vec![0; width as usize * height as usize * channels];
    decoder.read_image(&mut samples)?;
    let rgb = if channels == 4 { drop_alpha(samples) } else { samples };
    Ok(RgbImage::new(width as usize, height as usize, rgb))
}
