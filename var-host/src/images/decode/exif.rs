//! The orientation that a camera writes into an image's EXIF block, and images turned by it.

use std::io::Cursor;

use super::tiff::directory::{Directory, ORIENTATION};
use super::{jpeg, png};
use crate::images::RgbImage;

/// Whether an image is turned as its EXIF block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exif {
    /// Pixels stay as they are stored: how data sets are read.
    Ignored,
    /// Turned and mirrored, as Pillow's `ImageOps.exif_transpose` does: how one photograph is shown.
    Applied,
}

/// The EXIF block's orientation, 1 to 8, of a file's bytes; 1 where there is none, or a broken one.
pub(super) fn orientation(bytes: &[u8]) -> u8 {
    let block = match bytes {
        [0xff, 0xd8, ..] => jpeg::exif(bytes).map(<[u8]>::to_vec),
        [0x89, b'P', ..] => png::exif(bytes).map(<[u8]>::to_vec),
        [b'R', b'I', b'F', b'F', ..] => image_webp::WebPDecoder::new(Cursor::new(bytes))
            .and_then(|mut decoder| decoder.exif_metadata())
            .unwrap_or_default(),
        _ => None,
    };
    let orientation = block.and_then(|block| {
        let block = block.strip_prefix(b"Exif\0\0").unwrap_or(&block);
        Directory::first(block).ok()?.value(ORIENTATION)
    });
    orientation.filter(|orientation| (1..=8).contains(orientation)).unwrap_or(1) as u8
}

/// The image with EXIF's orientation undone.
///
/// 2 to 4 mirror columns, both, rows; 5 to 8 also exchange rows and columns.
pub(super) fn upright(picture: RgbImage, orientation: u8) -> RgbImage {
    if !(2..=8).contains(&orientation) {
        return picture;
    }
    let exchanges = orientation >= 5;
    let (mirrors_x, mirrors_y) =
        (matches!(orientation, 2 | 3 | 7 | 8), matches!(orientation, 3 | 4 | 6 | 7));
    let (from_width, from_height) = (picture.width, picture.height);
    let (width, height) =
        if exchanges { (from_height, from_width) } else { (from_width, from_height) };
    let mut rgb = Vec::with_capacity(picture.rgb.len());
    for y in 0..height {
        for x in 0..width {
            let (x, y) = if exchanges { (y, x) } else { (x, y) };
            let x = if mirrors_x { from_width - 1 - x } else { x };
            let y = if mirrors_y { from_height - 1 - y } else { y };
            rgb.extend_from_slice(&picture.rgb[3 * (y * from_width + x)..][..3]);
        }
    }
    RgbImage::new(width, height, rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orientations_are_those_of_exif_transpose() {
        // Pixels 0 to 5 in two rows of three; the results are ImageOps.exif_transpose's.
        let stored = RgbImage::new(3, 2, (0..6).flat_map(|n| [n; 3]).collect());
        for (orientation, width, expected) in [
            (1, 3, [0, 1, 2, 3, 4, 5]),
            (2, 3, [2, 1, 0, 5, 4, 3]),
            (3, 3, [5, 4, 3, 2, 1, 0]),
            (4, 3, [3, 4, 5, 0, 1, 2]),
            (5, 2, [0, 3, 1, 4, 2, 5]),
            (6, 2, [3, 0, 4, 1, 5, 2]),
            (7, 2, [5, 2, 4, 1, 3, 0]),
            (8, 2, [2, 5, 1, 4, 0, 3]),
            (9, 3, [0, 1, 2, 3, 4, 5]),
        ] {
            let rgb = expected.iter().flat_map(|&n| [n; 3]).collect();
            let expected = RgbImage::new(width, 6 / width, rgb);
            assert_eq!(upright(stored.clone(), orientation), expected, "{orientation}");
        }
    }
}
