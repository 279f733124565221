//! The first directory of a TIFF file, or of an EXIF block, which has the same form.

use std::collections::BTreeMap;

use crate::images::ImageFault;

/// Tags.
pub(in super::super) const ORIENTATION: u16 = 274;
pub(super) const IMAGE_WIDTH: u16 = 256;
pub(super) const IMAGE_LENGTH: u16 = 257;
pub(super) const BITS_PER_SAMPLE: u16 = 258;
pub(super) const COMPRESSION: u16 = 259;
pub(super) const PHOTOMETRIC_INTERPRETATION: u16 = 262;
pub(super) const FILL_ORDER: u16 = 266;
pub(super) const STRIP_OFFSETS: u16 = 273;
pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
pub(super) const ROWS_PER_STRIP: u16 = 278;
pub(super) const STRIP_BYTE_COUNTS: u16 = 279;
pub(super) const PLANAR_CONFIGURATION: u16 = 284;
pub(super) const PREDICTOR: u16 = 317;
pub(super) const COLOR_MAP: u16 = 320;
pub(super) const TILE_WIDTH: u16 = 322;
pub(super) const TILE_LENGTH: u16 = 323;
pub(super) const TILE_OFFSETS: u16 = 324;
pub(super) const TILE_BYTE_COUNTS: u16 = 325;
pub(super) const EXTRA_SAMPLES: u16 = 338;
pub(super) const SAMPLE_FORMAT: u16 = 339;

/// Whole numbers by tag.
pub(in super::super) struct Directory {
    pub(super) is_big_endian: bool,
    values: BTreeMap<u16, Vec<u32>>,
    /// Whether all values lie inside of the file.
    is_whole: bool,
}

impl Directory {
    /// Reads the first directory; values of other types than BYTE, SHORT and LONG are left out, and
    /// so are those that lie outside of the file.
    ///
    /// # Errors
    /// If it has no TIFF header, is a BigTIFF, or has no directory where the header says.
    pub(in super::super) fn first(bytes: &[u8]) -> Result<Self, ImageFault> {
        let is_big_endian = match bytes {
            [b'I', b'I', 42, 0, ..] => false,
            [b'M', b'M', 0, 42, ..] => true,
            [b'I', b'I', 43, 0, ..] | [b'M', b'M', 0, 43, ..] => {
                let feature = "64-bit offsets (BigTIFF)".to_owned();
                return Err(ImageFault::Unsupported { format: "TIFF", feature });
            }
            _ => return Err(damaged("no header")),
        };
        let number = |at: usize, width: usize| {
            let bytes = bytes.get(at..)?.get(..width)?.iter().map(|byte| u32::from(*byte));
            let number =
                |bytes: &mut dyn Iterator<Item = u32>| bytes.fold(0, |all, b| all << 8 | b);
            Some(if is_big_endian { number(&mut { bytes }) } else { number(&mut bytes.rev()) })
        };
        let missing = || damaged("no directory");
        let start = number(4, 4).ok_or_else(missing)? as usize;
        let entries = number(start, 2).ok_or_else(missing)? as usize;
        let (mut values, mut is_whole) = (BTreeMap::new(), true);
        for entry in (0..entries).map(|index| start + 2 + 12 * index) {
            let field = |at, width| number(entry + at, width);
            let Some((tag, kind, count, inside)) =
                field(0, 2).zip(field(2, 2)).zip(field(4, 4)).zip(field(8, 4)).map(flat)
            else {
                return Err(damaged("its directory is cut short"));
            };
            let width = match kind {
                1 => 1,
                3 => 2,
                4 => 4,
                _ => continue,
            };
            let count = count as usize;
            let place = if width * count <= 4 { entry + 8 } else { inside as usize };
            let end = width.checked_mul(count).and_then(|length| place.checked_add(length));
            if end.is_some_and(|end| end <= bytes.len()) {
                let all = (0..count).filter_map(|index| number(place + width * index, width));
                values.insert(tag as u16, all.collect());
            } else {
                is_whole = false;
            }
        }
        Ok(Self { is_big_endian, values, is_whole })
    }

    /// Refuses a directory with values outside of the file.
    pub(super) fn check_whole(&self) -> Result<(), ImageFault> {
        if self.is_whole { Ok(()) } else { Err(damaged("its directory points out of the file")) }
    }

    /// The values of a tag, in a slice that is empty where there are none.
    pub(super) fn values(&self, tag: u16) -> &[u32] {
        self.values.get(&tag).map_or(&[], Vec::as_slice)
    }

    /// The first value of a tag.
    pub(in super::super) fn value(&self, tag: u16) -> Option<u32> {
        self.values(tag).first().copied()
    }
}

fn flat((((a, b), c), d): (((u32, u32), u32), u32)) -> (u32, u32, u32, u32) {
    (a, b, c, d)
}

/// The file is damaged in this way.
pub(super) fn damaged(fault: &str) -> ImageFault {
    ImageFault::Damaged { format: "TIFF", fault: fault.to_owned() }
}
