//! Lanczos resampling with Pillow's 8-bit fixed-point arithmetic, byte for byte.
//!
//! Two passes, rows then columns, with the intermediate rounded to 8 bits. A target pixel's weights
//! are Lanczos-3 stretched by the scale when shrinking, normalized in f64, then rounded to integers
//! of 22 fractional bits: 32 less 8 for the sample less 2 for the overshoot of the negative lobes.

use core::f64::consts::PI;

use super::{ImageFault, PIXEL_LIMIT, RgbImage, check_size};

/// Fractional bits of a weight.
const FRACTION: u32 = 22;

/// Half the width of the filter, in source pixels of an unscaled image.
const LOBES: f64 = 3.0;

/// The image at another size, by Lanczos-3 over the whole image.
///
/// A side that does not change is not filtered, so an image already of that size is copied.
///
/// # Errors
/// If the result, or the intermediate of `width` × the source's height, has no pixels or more than
/// [`PIXEL_LIMIT`](super::PIXEL_LIMIT).
pub fn resize(picture: &RgbImage, width: usize, height: usize) -> Result<RgbImage, ImageFault> {
    check_size(width as u64, height as u64, PIXEL_LIMIT)?;
    check_size(width as u64, picture.height as u64, PIXEL_LIMIT)?;
    let narrowed;
    let mut current = picture;
    if width != picture.width {
        narrowed = resize_rows(picture, width);
        current = &narrowed;
    }
    Ok(if height == current.height { current.clone() } else { resize_columns(current, height) })
}

/// The source pixels that make one target pixel, and their weights.
struct FilterWindow {
    start: usize,
    weights: Vec<i32>,
}

fn windows(source: usize, target: usize) -> Vec<FilterWindow> {
    let scale = source as f64 / target as f64;
    let stretch = scale.max(1.0);
    let reach = LOBES * stretch;
    let window = |position: usize| {
        let center = (position as f64 + 0.5) * scale;
        let start = (center - reach + 0.5).max(0.0) as usize;
        let end = ((center + reach + 0.5) as usize).min(source);
        let weight = |at: usize| lanczos((at as f64 - center + 0.5) * (1.0 / stretch));
        let weights: Vec<f64> = (start..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        FilterWindow { start, weights: weights.iter().map(|weight| fixed(weight / sum)).collect() }
    };
    (0..target).map(window).collect()
}

fn resize_rows(picture: &RgbImage, width: usize) -> RgbImage {
    let windows = windows(picture.width, width);
    let mut rgb = Vec::with_capacity(width * picture.height * 3);
    for y in 0..picture.height {
        let row = picture.row(y);
        for FilterWindow { start, weights } in &windows {
            let mut sums = [HALF; 3];
            for (pixel, &weight) in row[start * 3..].chunks_exact(3).zip(weights) {
                for channel in 0..3 {
                    sums[channel] += i32::from(pixel[channel]) * weight;
                }
            }
            rgb.extend(sums.map(to_byte));
        }
    }
    RgbImage::new(width, picture.height, rgb)
}

fn resize_columns(picture: &RgbImage, height: usize) -> RgbImage {
    let mut rgb = Vec::with_capacity(picture.width * height * 3);
    let mut sums = vec![HALF; picture.width * 3];
    for FilterWindow { start, weights } in windows(picture.height, height) {
        sums.fill(HALF);
        for (y, &weight) in (start..).zip(&weights) {
            for (sum, &sample) in sums.iter_mut().zip(picture.row(y)) {
                *sum += i32::from(sample) * weight;
            }
        }
        rgb.extend(sums.iter().copied().map(to_byte));
    }
    RgbImage::new(picture.width, height, rgb)
}

/// One half in fixed point, which turns the final shift into rounding.
const HALF: i32 = 1 << (FRACTION - 1);

fn to_byte(sum: i32) -> u8 {
    (sum >> FRACTION).clamp(0, 255) as u8
}

/// To the nearest fixed-point number, halves away from zero.
fn fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << FRACTION);
    (scaled + 0.5_f64.copysign(scaled)) as i32
}

/// `sinc(x) · sinc(x / 3)` within ±3, else 0.
fn lanczos(x: f64) -> f64 {
    if (-LOBES..LOBES).contains(&x) { sinc(x) * sinc(x / LOBES) } else { 0.0 }
}

/// `sin(πx) / (πx)`. The sine is not the system's, so that every machine has the same weights.
fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { libm::sin(x * PI) / (x * PI) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::images::fixtures;

    #[test]
    fn fixtures_are_byte_equal_to_pillow() {
        for case in fixtures::cases() {
            let (height, width) = (case.resized.height(), case.resized.width());
            let resized = resize(&case.source, width, height).unwrap();
            assert_eq!(resized, case.resized, "{}", case.name);
        }
    }

    #[test]
    fn target_too_large_is_refused() {
        let line = RgbImage::filled(1, 1 << 20, [0; 3]);
        assert!(matches!(resize(&line, 1 << 20, 1 << 20), Err(ImageFault::TooLarge { .. })));
        // Target small, intermediate of 2^20 × 2^20.
        assert!(matches!(resize(&line, 1 << 20, 1), Err(ImageFault::TooLarge { .. })));
        assert!(matches!(resize(&line, 0, 1), Err(ImageFault::Empty { .. })));
    }

    proptest! {
        #[test]
        fn constant_stays_constant(
            (w, h, to_w, to_h) in (1_usize..70, 1_usize..70, 1_usize..70, 1_usize..70),
            color: [u8; 3],
        ) {
            let resized = resize(&RgbImage::filled(w, h, color), to_w, to_h).unwrap();
            prop_assert_eq!(resized, RgbImage::filled(to_w, to_h, color));
        }

        #[test]
        fn resize_commutes_with_transposing_a_line(row in prop::collection::vec(any::<[u8; 3]>(), 1..60), to in 1_usize..60) {
            let length = row.len();
            let rgb = row.concat();
            let across = resize(&RgbImage::new(length, 1, rgb.clone()), to, 1).unwrap();
            let down = resize(&RgbImage::new(1, length, rgb), 1, to).unwrap();
            prop_assert_eq!(across.rgb(), down.rgb());
        }
    }
}
