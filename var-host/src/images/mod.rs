//! Images: read from PNG, JPEG, WebP, BMP, GIF, TIFF and Netpbm, resized as Pillow does, written as PNG.
//!
//! Everything is 8-bit RGB, row-major with the three channels together (height × width × 3),
//! which is also the layout of the model's images (NHWC).

mod crop;
mod cut;
mod decode;
mod encode;
mod error;
mod grid;
mod resize;
mod values;

pub use crop::{center_crop, crop, load_square, mirrored, resize_shorter_side, square};
pub use cut::{CropMode, CropSettings};
pub use decode::Exif;
pub use encode::{Parameters, png_bytes, read_parameters, write_png};
pub use error::{ImageError, ImageFault};
pub use grid::grid;
pub use resize::resize;

/// The most pixels an image may have; larger ones are refused before memory is taken for them.
pub const PIXEL_LIMIT: u64 = 1 << 28;

/// The endings of image files' names, in large or small letters: those that torchvision's folders
/// know, and those of the other formats that are read. The content, not the name, tells the format.
pub const ENDINGS: [&str; 12] =
    ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pbm", "pnm"];

/// An 8-bit RGB image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl RgbImage {
    /// Wraps `rgb`, `height × width × 3` bytes.
    ///
    /// # Panics
    /// If a side is zero or `rgb` is not `height × width × 3` bytes.
    #[track_caller]
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0, "image: a side is zero: {width} × {height}");
        let bytes = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
        assert_eq!(Some(rgb.len()), bytes, "image: rgb is not {height} × {width} × 3");
        Self { width, height, rgb }
    }

    /// One color everywhere.
    ///
    /// # Panics
    /// If a side is zero.
    #[track_caller]
    pub fn filled(width: usize, height: usize, color: [u8; 3]) -> Self {
        Self::new(width, height, color.repeat(width * height))
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes, `height × width × 3`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The bytes, `height × width × 3`, without copying.
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }

    /// One row's bytes, `width × 3`.
    fn row(&self, y: usize) -> &[u8] {
        &self.rgb[y * self.width * 3..][..self.width * 3]
    }
}

/// Refuses an image with an empty side or with more than `limit` pixels.
fn check_size(width: u64, height: u64, limit: u64) -> Result<(), ImageFault> {
    if width == 0 || height == 0 {
        return Err(ImageFault::Empty { width, height });
    }
    match width.checked_mul(height) {
        Some(pixels) if pixels <= limit => Ok(()),
        _ => Err(ImageFault::TooLarge { width, height, limit }),
    }
}

#[cfg(test)]
mod fixtures;
