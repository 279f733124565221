//! Pictures: read from PNG, JPEG, WebP, BMP, GIF, TIFF and Netpbm, resized as Pillow does, written as PNG.
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

pub use crop::{centre_crop, crop, load_square, mirrored, resize_shorter_side};
pub use cut::{Crop, Cut};
pub use decode::Exif;
pub use encode::{Parameters, png_bytes, read_parameters, write_png};
pub use error::{PictureError, PictureFault};
pub use grid::grid;
pub use resize::resize;

/// The most pixels a picture may have; larger ones are refused before memory is taken for them.
pub const PIXEL_LIMIT: u64 = 1 << 28;

/// The endings of picture files' names, in large or small letters: those that torchvision's folders
/// know, and those of the other formats that are read. The content, not the name, tells the format.
pub const ENDINGS: [&str; 12] =
    ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pbm", "pnm"];

/// An 8-bit RGB picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Picture {
    /// Wraps `rgb`, `height × width × 3` bytes.
    ///
    /// # Panics
    /// If a side is zero or `rgb` is not `height × width × 3` bytes.
    #[track_caller]
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0, "picture: a side is zero: {width} × {height}");
        let bytes = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
        assert_eq!(Some(rgb.len()), bytes, "picture: rgb is not {height} × {width} × 3");
        Self { width, height, rgb }
    }

    /// One colour everywhere.
    ///
    /// # Panics
    /// If a side is zero.
    #[track_caller]
    pub fn filled(width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self::new(width, height, colour.repeat(width * height))
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

/// Refuses a picture with an empty side or with more than [`PIXEL_LIMIT`] pixels.
fn check_size(width: u64, height: u64) -> Result<(), PictureFault> {
    if width == 0 || height == 0 {
        return Err(PictureFault::Empty { width, height });
    }
    match width.checked_mul(height) {
        Some(pixels) if pixels <= PIXEL_LIMIT => Ok(()),
        _ => Err(PictureFault::TooLarge { width, height, limit: PIXEL_LIMIT }),
    }
}

#[cfg(test)]
mod fixtures;
