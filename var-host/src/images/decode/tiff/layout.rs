//! How the pixels of a TIFF lie in the file, and the meaning of their samples.

use super::super::channels::{cmyk_to_rgb, repeat_gray};
use super::directory::{
    BITS_PER_SAMPLE, COLOR_MAP, COMPRESSION, Directory, EXTRA_SAMPLES, FILL_ORDER, IMAGE_LENGTH,
    IMAGE_WIDTH, PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION, SAMPLE_FORMAT,
    SAMPLES_PER_PIXEL, damaged,
};
use crate::images::{ImageFault, check_size};

/// The most samples a pixel may have.
const MOST_SAMPLES: u32 = 6;

/// Meaning of the colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colors {
    /// 0 is white.
    InvertedGray,
    Gray,
    Rgb,
    Palette,
    Cmyk,
}

impl Colors {
    /// Samples of a pixel without extra ones.
    pub(super) fn samples(self) -> usize {
        match self {
            Self::InvertedGray | Self::Gray | Self::Palette => 1,
            Self::Rgb => 3,
            Self::Cmyk => 4,
        }
    }
}

/// How pixels lie in the file.
pub(super) struct TiffLayout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) colors: Colors,
    /// Bits per sample.
    pub(super) bits: usize,
    /// Samples per pixel.
    pub(super) samples: usize,
    /// Whether each sample has a plane of its own.
    pub(super) is_planar: bool,
    /// Whether the lowest bit of a byte comes first.
    pub(super) is_reversed: bool,
    /// Whether colors were multiplied by alpha, the first extra sample.
    pub(super) is_premultiplied: bool,
    pub(super) is_big_endian: bool,
    pub(super) compression: u32,
}

impl TiffLayout {
    pub(super) fn of(directory: &Directory, pixel_limit: u64) -> Result<Self, ImageFault> {
        let number = |tag, default| directory.value(tag).unwrap_or(default);
        let side = |tag| directory.value(tag).ok_or_else(|| damaged("its size is missing"));
        let (width, height) = (side(IMAGE_WIDTH)?, side(IMAGE_LENGTH)?);
        check_size(width.into(), height.into(), pixel_limit)?;
        let colors = match number(PHOTOMETRIC_INTERPRETATION, 0) {
            0 => Colors::InvertedGray,
            1 => Colors::Gray,
            2 => Colors::Rgb,
            3 => Colors::Palette,
            5 => Colors::Cmyk,
            other => {
                let name = match other {
                    6 => "YCbCr".to_owned(),
                    8..=10 => "L*a*b*".to_owned(),
                    _ => format!("photometric interpretation {other}"),
                };
                return Err(unsupported(name));
            }
        };
        let samples = number(SAMPLES_PER_PIXEL, 1);
        let extra = directory.values(EXTRA_SAMPLES);
        // RGBA without a word about its fourth sample is common.
        let is_counted = samples as usize == colors.samples() + extra.len()
            || colors == Colors::Rgb && samples == 4 && extra.is_empty();
        if !is_counted || samples > MOST_SAMPLES {
            let extra = extra.len();
            return Err(unsupported(format!("{samples} samples, {extra} of them extra")));
        }
        let bits = number(BITS_PER_SAMPLE, 1);
        if directory.values(BITS_PER_SAMPLE).iter().any(|other| *other != bits) {
            return Err(unsupported("samples of different sizes".to_owned()));
        }
        if directory.values(SAMPLE_FORMAT).iter().any(|format| *format != 1) {
            return Err(unsupported("signed or floating-point samples".to_owned()));
        }
        let layout = Self {
            width: width as usize,
            height: height as usize,
            colors,
            bits: bits as usize,
            samples: samples as usize,
            is_planar: number(PLANAR_CONFIGURATION, 1) == 2 && samples > 1,
            is_reversed: number(FILL_ORDER, 1) == 2,
            is_premultiplied: extra.first() == Some(&1),
            is_big_endian: directory.is_big_endian,
            compression: number(COMPRESSION, 1),
        };
        layout.check()?;
        Ok(layout)
    }

    /// Refuses combinations that Pillow does not read.
    fn check(&self) -> Result<(), ImageFault> {
        let Self { colors, bits, samples, .. } = *self;
        let has_extra = samples > colors.samples();
        let is_read = match (colors, bits) {
            (Colors::InvertedGray, 1 | 2 | 4 | 8) => !has_extra,
            (Colors::Gray, 1 | 2 | 4 | 16) | (Colors::Palette, 1 | 2 | 4) => !has_extra,
            (Colors::Gray | Colors::Palette, 8) => samples <= 2 && !self.is_premultiplied,
            (Colors::Rgb, 8) => true,
            (Colors::Cmyk, 8) => !self.is_premultiplied,
            (Colors::Rgb, 16) => samples <= 4 && !self.is_premultiplied,
            (Colors::Cmyk, 16) => !has_extra,
            _ => false,
        };
        if !is_read {
            let colors = format!("{colors:?}").to_lowercase();
            return Err(unsupported(format!("{samples} samples of {bits} bits for {colors}")));
        }
        let is_odd = bits == 8 && colors == Colors::InvertedGray;
        if self.is_reversed && (bits > 8 || has_extra || colors == Colors::Cmyk || is_odd) {
            return Err(unsupported(format!("reversed bits in {samples} samples of {bits} bits")));
        }
        Ok(())
    }

    /// Samples, each in a byte → RGB.
    pub(super) fn rgb(&self, samples: Vec<u8>, directory: &Directory) -> Vec<u8> {
        let pixels = samples.chunks_exact(self.samples);
        let largest = (1_u32 << self.bits.min(8)) - 1;
        let gray = |sample: u8| (u32::from(sample) * 255 / largest) as u8;
        match self.colors {
            Colors::Gray => repeat_gray(&pixels.map(|p| gray(p[0])).collect::<Vec<_>>()),
            Colors::InvertedGray => {
                repeat_gray(&pixels.map(|p| 255 - gray(p[0])).collect::<Vec<_>>())
            }
            Colors::Palette => {
                let map = directory.values(COLOR_MAP);
                let entries = map.len() / 3;
                let color = |index: usize| {
                    let part =
                        |n: usize| if index < entries { map[n * entries + index] >> 8 } else { 0 };
                    [part(0) as u8, part(1) as u8, part(2) as u8]
                };
                pixels.flat_map(|pixel| color(pixel[0].into())).collect()
            }
            Colors::Rgb if self.is_premultiplied => pixels
                .flat_map(|pixel| {
                    let alpha = u32::from(pixel[3]);
                    let divided =
                        |color: u8| (255 * u32::from(color)).checked_div(alpha).unwrap_or(0);
                    [0, 1, 2].map(|part| divided(pixel[part]).min(255) as u8)
                })
                .collect(),
            Colors::Rgb if self.samples == 3 => samples,
            Colors::Rgb => pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
            Colors::Cmyk => pixels.flat_map(|p| cmyk_to_rgb([p[0], p[1], p[2], p[3]])).collect(),
        }
    }
}

pub(super) fn unsupported(feature: String) -> ImageFault {
    ImageFault::Unsupported { format: "TIFF", feature }
}
