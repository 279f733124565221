//! Images to the model's square: shorter side resized, middle cut out.

use std::path::Path;

use super::{Exif, ImageError, ImageFault, RgbImage, resize};

/// Reads an image as the model takes it: `side × side`, turned where `exif` says so.
///
/// The shorter side is resized to `side`, then the middle is cut out. An image already
/// `side × side` is taken as it is.
///
/// # Panics
/// If `side` is zero.
///
/// # Errors
/// Those of [`RgbImage::open`], and if the resized image is too large.
pub fn load_square(path: &Path, side: usize, exif: Exif) -> Result<RgbImage, ImageError> {
    square(&RgbImage::open_with(path, exif)?, side).map_err(|fault| fault.of(path))
}

/// An image as the model takes it: the shorter side resized to `side`, the middle cut out.
///
/// # Panics
/// If `side` is zero.
///
/// # Errors
/// If the resized image is too large.
#[track_caller]
pub fn square(picture: &RgbImage, side: usize) -> Result<RgbImage, ImageFault> {
    assert!(side > 0, "square: side is zero");
    Ok(center_crop(&resize_shorter_side(picture, side)?, side))
}

/// The image with its shorter side `side`, proportions kept, by Lanczos.
///
/// The longer side is `⌊side · longer / shorter⌋`, as torchvision's `Resize` has it.
///
/// # Errors
/// If the result has no pixels or more than [`PIXEL_LIMIT`](super::PIXEL_LIMIT).
pub fn resize_shorter_side(picture: &RgbImage, side: usize) -> Result<RgbImage, ImageFault> {
    let shorter = picture.width.min(picture.height);
    let scaled = |length: usize| {
        let length = side as u128 * length as u128 / shorter as u128;
        usize::try_from(length).unwrap_or(usize::MAX)
    };
    resize(picture, scaled(picture.width), scaled(picture.height))
}

/// The middle `side × side` pixels.
///
/// The corner is at `(length - side) / 2`, halves to the nearest even number, as torchvision's
/// `CenterCrop` has it.
///
/// # Panics
/// If the image is smaller than `side` or `side` is zero.
#[track_caller]
pub fn center_crop(picture: &RgbImage, side: usize) -> RgbImage {
    let (width, height) = (picture.width, picture.height);
    assert!(
        side <= width.min(height),
        "center_crop: wants {side} × {side}, image is {width} × {height}"
    );
    crop(picture, half_to_even(height - side), half_to_even(width - side), side, side)
}

/// The `height × width` pixels from row `top` and column `left` on.
///
/// # Panics
/// If the box is empty or reaches beyond the image.
#[track_caller]
pub fn crop(picture: &RgbImage, top: usize, left: usize, height: usize, width: usize) -> RgbImage {
    let inside = |start: usize, length: usize, whole: usize| {
        start.checked_add(length).is_some_and(|end| end <= whole)
    };
    assert!(
        inside(top, height, picture.height) && inside(left, width, picture.width),
        "crop: {width} × {height} at row {top}, column {left} of {} × {}",
        picture.width,
        picture.height
    );
    let rows = (top..top + height).flat_map(|y| &picture.row(y)[left * 3..][..width * 3]);
    RgbImage::new(width, height, rows.copied().collect())
}

/// The image mirrored left to right.
pub fn mirrored(picture: &RgbImage) -> RgbImage {
    let rows = (0..picture.height).flat_map(|y| picture.row(y).rchunks_exact(3).flatten());
    RgbImage::new(picture.width, picture.height, rows.copied().collect())
}

/// `n / 2`, a half going to the nearest even number.
fn half_to_even(n: usize) -> usize {
    let half = n / 2;
    half + (n % 2) * (half % 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::images::fixtures;

    #[test]
    fn fixtures_are_byte_equal() {
        for case in fixtures::cases() {
            let resized = resize_shorter_side(&case.source, case.mid).unwrap();
            assert_eq!(resized, case.resized, "{}: resized", case.name);
            assert_eq!(center_crop(&resized, case.side), case.center_crop, "{}", case.name);
        }
    }

    #[test]
    fn halves_round_as_python_does() {
        // [int(round(n / 2.0)) for n in range(9)]
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8].map(half_to_even), [0, 0, 1, 2, 2, 2, 3, 4, 4]);
    }

    #[test]
    fn middle_of_an_odd_rest_is_rounded_to_even_in_both_directions() {
        let rgb = (0..11).flat_map(|y| (0..11).flat_map(move |x| [x, y, 0])).collect();
        let middle = center_crop(&RgbImage::new(11, 11, rgb), 8);
        assert_eq!(middle.rgb()[..2], [2, 2]);
    }

    #[test]
    fn square_of_the_right_side_is_taken_as_it_is() {
        let path = fixtures::path("pipeline_3.png");
        assert_eq!(load_square(&path, 72, Exif::Applied).unwrap(), RgbImage::open(&path).unwrap());
    }

    #[test]
    fn endless_strip_is_refused() {
        let strip = RgbImage::filled(1, 1 << 20, [0; 3]);
        let fault = resize_shorter_side(&strip, 256).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "256 × 268435456 is too large: wants at most 268435456 pixels"
        );
    }

    #[test]
    #[should_panic(expected = "center_crop: wants 9 × 9, image is 8 × 10")]
    fn crop_larger_than_the_picture_panics() {
        center_crop(&RgbImage::filled(8, 10, [0; 3]), 9);
    }

    proptest! {
        #[test]
        fn shorter_side_and_crop_have_the_side(w in 1_usize..90, h in 1_usize..90, side in 1_usize..90) {
            let resized = resize_shorter_side(&RgbImage::filled(w, h, [7; 3]), side).unwrap();
            prop_assert_eq!(resized.width().min(resized.height()), side);
            prop_assert_eq!(center_crop(&resized, side), RgbImage::filled(side, side, [7; 3]));
        }

        #[test]
        fn mirror_turns_columns_around(w in 1_u8..12, h in 1_u8..12) {
            let rgb = |x: u8, y: u8| [x, y, 9];
            let plain = (0..h).flat_map(|y| (0..w).flat_map(move |x| rgb(x, y))).collect();
            let turned = (0..h).flat_map(|y| (0..w).rev().flat_map(move |x| rgb(x, y))).collect();
            let picture = |rgb| RgbImage::new(w.into(), h.into(), rgb);
            prop_assert_eq!(mirrored(&picture(plain)), picture(turned));
        }

        #[test]
        fn crop_picks_its_pixels(top in 0_usize..5, left in 0_usize..7, h in 1_usize..6, w in 1_usize..5) {
            let rgb = (0..10_u8).flat_map(|y| (0..11_u8).flat_map(move |x| [y, x, 0])).collect();
            let part = crop(&RgbImage::new(11, 10, rgb), top, left, h, w);
            prop_assert_eq!((part.width(), part.height()), (w, h));
            for (index, pixel) in part.rgb().chunks_exact(3).enumerate() {
                prop_assert_eq!(pixel[0] as usize, top + index / w);
                prop_assert_eq!(pixel[1] as usize, left + index % w);
            }
        }
    }
}
