//! Several images as one.

use super::{ImageFault, PIXEL_LIMIT, RgbImage, check_size};

/// Lays images of one size out in rows of `columns`, `padding` white pixels between neighbors.
///
/// A last row that is not full is filled up with white. Fewer images than `columns` make one row
/// of their number.
///
/// # Panics
/// If there are no images, `columns` is zero, or the sizes differ.
///
/// # Errors
/// If the grid has more than [`PIXEL_LIMIT`](super::PIXEL_LIMIT) pixels.
#[track_caller]
pub fn grid(pictures: &[RgbImage], columns: usize, padding: usize) -> Result<RgbImage, ImageFault> {
    assert!(!pictures.is_empty() && columns > 0, "grid: no images or no columns");
    let columns = columns.min(pictures.len());
    let (width, height) = (pictures[0].width, pictures[0].height);
    let rows = pictures.len().div_ceil(columns);
    let side = |cells: usize, length: usize| {
        cells.saturating_mul(length).saturating_add((cells - 1).saturating_mul(padding))
    };
    let (grid_width, grid_height) = (side(columns, width), side(rows, height));
    check_size(grid_width as u64, grid_height as u64, PIXEL_LIMIT)?;
    let mut whole = RgbImage::filled(grid_width, grid_height, [255; 3]);
    for (cell, picture) in pictures.iter().enumerate() {
        assert_eq!((picture.width, picture.height), (width, height), "grid: image {cell}'s size");
        let (top, left) = (cell / columns * (height + padding), cell % columns * (width + padding));
        for y in 0..height {
            let start = ((top + y) * grid_width + left) * 3;
            whole.rgb[start..start + width * 3].copy_from_slice(picture.row(y));
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::images::crop;

    #[test]
    fn unfilled_cells_and_padding_are_white() {
        let black = RgbImage::filled(1, 1, [0; 3]);
        let whole = grid(&[black.clone(), black.clone(), black], 2, 1).unwrap();
        let reds: Vec<u8> = whole.rgb().iter().copied().step_by(3).collect();
        assert_eq!(reds, [0, 255, 0, 255, 255, 255, 0, 255, 255]);
    }

    #[test]
    fn immense_padding_is_refused() {
        let pictures = [RgbImage::filled(1, 1, [0; 3]), RgbImage::filled(1, 1, [0; 3])];
        assert!(matches!(grid(&pictures, 2, usize::MAX), Err(ImageFault::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn cells_are_the_pictures(
            (count, columns, padding) in (1_usize..8, 1_usize..6, 0_usize..3),
            (w, h) in (1_usize..5, 1_usize..5),
        ) {
            let pictures: Vec<_> =
                (0..count).map(|n| RgbImage::filled(w, h, [n as u8, 1, 2])).collect();
            let whole = grid(&pictures, columns, padding).unwrap();
            let columns = columns.min(count);
            for (n, picture) in pictures.iter().enumerate() {
                let (top, left) = (n / columns * (h + padding), n % columns * (w + padding));
                prop_assert_eq!(&crop(&whole, top, left, h, w), picture);
            }
        }
    }
}
