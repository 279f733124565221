//! GIF: the first frame on its canvas, as Pillow shows it.
//!
//! Transparency is dropped: transparent pixels have their index's color, and so has the canvas
//! around a smaller frame (index 0 where no index is transparent).

use core::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, MemoryLimit};

use crate::images::{ImageFault, PIXEL_LIMIT, RgbImage, check_size};

pub(super) fn decode(bytes: &[u8], pixel_limit: u64) -> Result<RgbImage, ImageFault> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(NonZeroU64::new(PIXEL_LIMIT).expect("not 0")));
    let mut decoder = options.read_info(bytes)?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.next_frame_info()?.ok_or_else(no_frame)?.clone();
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (right, bottom) = (left + usize::from(frame.width), top + usize::from(frame.height));
    let (width, height) = (screen.0.max(right), screen.1.max(bottom));
    check_size(width as u64, height as u64, pixel_limit)?;
    check_size(frame.width.into(), frame.height.into(), pixel_limit)?;
    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices)?;

    let palette = frame.palette.or(global);
    let color = |index: u8| match &palette {
        None => [index; 3],
        Some(palette) => palette.as_chunks().0.get(usize::from(index)).copied().unwrap_or_default(),
    };
    let mut rgb = color(frame.transparent.unwrap_or(0)).repeat(width * height);
    let rows = indices.chunks_exact(right - left);
    for (row, target) in rows.zip(rgb.chunks_exact_mut(3 * width).skip(top)) {
        let pixels = target[3 * left..3 * right].as_chunks_mut().0.iter_mut();
        pixels.zip(row).for_each(|(pixel, index)| *pixel = color(*index));
    }
    Ok(RgbImage::new(width, height, rgb))
}

fn no_frame() -> ImageFault {
    ImageFault::Damaged { format: "GIF", fault: "it has no image".to_owned() }
}
