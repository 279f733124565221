//! Augmentation: an image resized, cropped, mirrored.

use super::random::{RngStream, below, words};
use crate::images::{
    CropMode, CropSettings, ImageFault, RgbImage, center_crop, crop, mirrored, resize_shorter_side,
};

/// Where an image is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CropPositions {
    /// Once, in the middle.
    Center,
    /// So many times, anywhere, all places as likely.
    Random(u32),
}

/// Whether the crop is mirrored left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flip {
    /// As it is.
    Never,
    /// Addressable every other time.
    Random,
    /// Both as it is and mirrored, one after the other.
    Both,
}

/// Augmentation of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropSpec {
    /// Side of the crop.
    pub side: usize,
    /// Before, the shorter side is resized to so many times that, rounded; at least 1.
    pub resize: f64,
    /// Where it is cut.
    pub crops: CropPositions,
    /// Whether it is mirrored.
    pub flip: Flip,
}

/// Which random numbers an image is cut by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AugmentKey {
    /// Seed of the run.
    pub seed: u64,
    /// The epoch.
    pub epoch: u32,
    /// The position in the epoch.
    pub position: u32,
}

impl From<&CropSpec> for CropSettings {
    fn from(crops: &CropSpec) -> Self {
        let crop = match crops.crops {
            CropPositions::Center => CropMode::Center,
            CropPositions::Random(_) => CropMode::Random,
        };
        Self { mid_reso: crops.resize, crop }
    }
}

impl CropSpec {
    /// How many are made of each image.
    pub fn per_image(&self) -> usize {
        let count = match self.crops {
            CropPositions::Center => 1,
            CropPositions::Random(count) => count as usize,
        };
        count * if self.flip == Flip::Both { 2 } else { 1 }
    }

    /// The shorter side before the cut: `round(resize · side)`, a half to the even number.
    ///
    /// # Panics
    /// If `side` is zero or `resize` is less than 1 or not finite.
    #[track_caller]
    pub fn resized_side(&self) -> usize {
        let Self { side, resize, .. } = *self;
        assert!(side > 0, "views: side is zero");
        assert!(resize >= 1.0 && resize.is_finite(), "views: resized to {resize} of the side");
        (resize * side as f64).round_ties_even() as usize
    }

    /// The views of an image, `side × side`, crop by crop, each followed by its mirror image where
    /// both are wanted.
    ///
    /// # Panics
    /// As [`resized_side`](Self::resized_side).
    ///
    /// # Errors
    /// If the resized image is too large, as a very long strip may be.
    #[track_caller]
    pub fn cut(&self, picture: &RgbImage, draw: AugmentKey) -> Result<Vec<RgbImage>, ImageFault> {
        let side = self.side;
        let resized = resize_shorter_side(picture, self.resized_side())?;
        let count = match self.crops {
            CropPositions::Center => 1,
            CropPositions::Random(count) => count,
        };
        let mut crops = Vec::with_capacity(self.per_image());
        for part in 0..count {
            let numbers = words(draw.seed, RngStream::View, draw.epoch, draw.position, part);
            let view = match self.crops {
                CropPositions::Center => center_crop(&resized, side),
                CropPositions::Random(_) => {
                    let start = |word, length| below(word, (length - side + 1) as u32) as usize;
                    let top = start(numbers[0], resized.height());
                    crop(&resized, top, start(numbers[1], resized.width()), side, side)
                }
            };
            match self.flip {
                Flip::Random if below(numbers[2], 2) == 1 => crops.push(mirrored(&view)),
                Flip::Both => {
                    let mirror = mirrored(&view);
                    crops.extend([view, mirror]);
                }
                Flip::Never | Flip::Random => crops.push(view),
            }
        }
        Ok(crops)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every pixel tells its column and row.
    fn chart(width: u8, height: u8) -> RgbImage {
        let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x, y, 0])).collect();
        RgbImage::new(width.into(), height.into(), rgb)
    }

    fn draw(position: u32) -> AugmentKey {
        AugmentKey { seed: 3, epoch: 1, position }
    }

    const VIEWS: CropSpec =
        CropSpec { side: 8, resize: 1.0, crops: CropPositions::Random(1), flip: Flip::Never };

    #[test]
    fn sides_round_as_the_published_training_does() {
        for (side, resize, expected) in
            [(256, 1.125, 288), (64, 1.125, 72), (20, 1.125, 22), (4, 1.125, 4), (12, 1.125, 14)]
        {
            assert_eq!(CropSpec { side, resize, ..VIEWS }.resized_side(), expected);
        }
    }

    #[test]
    fn every_crop_and_both_mirrorings_are_as_likely() {
        let crops = CropSpec { flip: Flip::Random, ..VIEWS };
        let mut counts = [[0_i32; 5]; 2];
        for position in 0..5000 {
            let view = &crops.cut(&chart(12, 8), draw(position)).unwrap()[0];
            let (first, last) = (view.rgb()[0], view.rgb()[7 * 3]);
            counts[usize::from(first > last)][usize::from(first.min(last))] += 1;
        }
        // 500 each, ± 5 standard deviations.
        assert!(counts.as_flattened().iter().all(|count| (count - 500).abs() < 107), "{counts:?}");
    }

    #[test]
    fn rows_and_columns_of_a_crop_are_drawn_apart() {
        let mut corners = std::collections::BTreeSet::new();
        for position in 0..500 {
            let crops = CropSpec { resize: 1.5, ..VIEWS };
            let view = &crops.cut(&chart(12, 12), draw(position)).unwrap()[0];
            corners.insert((view.rgb()[0], view.rgb()[1]));
        }
        assert_eq!(corners.len(), 25, "{corners:?}");
    }

    #[test]
    fn both_mirrorings_follow_each_other() {
        let crops = CropSpec { crops: CropPositions::Random(3), flip: Flip::Both, ..VIEWS };
        let cut = crops.cut(&chart(12, 9), draw(0)).unwrap();
        assert_eq!(cut.len(), crops.per_image());
        let plain = CropSpec { flip: Flip::Never, ..crops }.cut(&chart(12, 9), draw(0)).unwrap();
        for (pair, plain) in cut.chunks_exact(2).zip(&plain) {
            assert_eq!((&pair[0], &pair[1]), (plain, &mirrored(plain)));
        }
        assert!(plain[0] != plain[1] || plain[1] != plain[2], "crops have numbers of their own");
    }

    #[test]
    fn center_takes_no_random_numbers() {
        let crops = CropSpec { crops: CropPositions::Center, resize: 1.25, ..VIEWS };
        let cut = |position| crops.cut(&chart(20, 10), draw(position)).unwrap();
        assert_eq!(cut(0), [crop(&chart(20, 10), 1, 6, 8, 8)]);
        assert_eq!(cut(0), cut(1));
    }

    proptest! {
        #[test]
        fn views_are_square_and_of_the_picture(
            width in 1_u8..40, height in 1_u8..40, count in 1_u32..4, both: bool, seed: u64,
        ) {
            let flip = if both { Flip::Both } else { Flip::Random };
            let crops = CropSpec { crops: CropPositions::Random(count), flip, resize: 1.5, ..VIEWS };
            let draw = AugmentKey { seed, epoch: 0, position: 7 };
            let cut = crops.cut(&chart(width, height), draw).unwrap();
            prop_assert_eq!(cut.len(), crops.per_image());
            prop_assert!(cut.iter().all(|view| (view.width(), view.height()) == (8, 8)));
            prop_assert_eq!(cut, crops.cut(&chart(width, height), draw).unwrap());
        }
    }
}
