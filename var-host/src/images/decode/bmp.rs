//! Windows bitmaps: 1, 4, 8, 16, 24 and 32 bits a pixel, raw, run-length coded or with bit fields.
//!
//! Of bit fields those are read that Pillow reads; alpha is dropped.

use crate::images::{ImageFault, RgbImage, check_size};

const FILE_HEADER: usize = 14;
const RAW: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const BIT_FIELDS: u32 = 3;

pub(super) fn decode(bytes: &[u8], pixel_limit: u64) -> Result<RgbImage, ImageFault> {
    let header = BmpHeader::of(bytes)?;
    check_size(header.width.into(), header.height.into(), pixel_limit)?;
    let (width, height) = (header.width as usize, header.height as usize);
    let data = bytes.get(header.offset..).ok_or_else(cut_short)?;
    let rows = match header.compression {
        RLE8 | RLE4 => runs(data, header.offset, width, height, header.compression == RLE4)?,
        _ => packed_rows(data, width, height, &header)?,
    };
    let mut rgb = Vec::with_capacity(width * height * 3);
    let rows = rows.chunks_exact(rows.len() / height);
    let rows: &mut dyn Iterator<Item = &[u8]> =
        if header.is_top_down { &mut { rows } } else { &mut rows.rev() };
    for row in rows {
        header.write_row(row, &mut rgb);
    }
    Ok(RgbImage::new(width, height, rgb))
}

/// Headers, palette and masks.
struct BmpHeader {
    width: u32,
    height: u32,
    is_top_down: bool,
    /// Bits per pixel.
    bits: u16,
    compression: u32,
    /// Where the pixels begin.
    offset: usize,
    /// RGB of the indices, as many as are in the file.
    palette: Vec<[u8; 3]>,
    /// Masks of red, green and blue.
    masks: [u32; 3],
}

impl BmpHeader {
    fn of(bytes: &[u8]) -> Result<Self, ImageFault> {
        let u16_at = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let u32_at = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let short = |at| u16_at(at).ok_or_else(cut_short);
        let long = |at| u32_at(at).ok_or_else(cut_short);
        let size = long(FILE_HEADER)?;
        let is_core = size == 12;
        if ![12, 40, 52, 56, 64, 108, 124].contains(&size) {
            return Err(unsupported(format!("a header of {size} bytes")));
        }
        let at = |field: usize| FILE_HEADER + field;
        let mut end = FILE_HEADER + size as usize;
        let (width, height, bits) = if is_core {
            (short(at(4))?.into(), i32::from(short(at(6))?), short(at(10))?)
        } else {
            (long(at(4))?, long(at(8))? as i32, short(at(14))?)
        };
        let (compression, colors) = if is_core { (RAW, 0) } else { (long(at(16))?, long(at(32))?) };
        let mut masks = match bits {
            16 => [0x7c00, 0x03e0, 0x001f],
            _ => [0xff_0000, 0xff00, 0xff],
        };
        if compression == BIT_FIELDS {
            masks = [long(at(40))?, long(at(44))?, long(at(48))?];
            end = end.max(at(52));
            let alpha = if size >= 56 { long(at(52))? } else { 0 };
            masks = known_masks(bits, masks, alpha)?;
        }
        match (compression, bits) {
            (RAW, 1 | 4 | 8 | 16 | 24 | 32)
            | (RLE8, 8)
            | (RLE4, 4)
            | (BIT_FIELDS, 16 | 24 | 32) => {}
            _ => {
                return Err(unsupported(format!(
                    "compression {compression} of {bits} bits a pixel"
                )));
            }
        }
        let mut offset = long(10)? as usize;
        let mut palette = Vec::new();
        if bits <= 8 {
            let entry = if is_core { 3 } else { 4 };
            let colors = if colors == 0 { 1 << bits } else { colors };
            if colors > 65536 {
                return Err(unsupported(format!("{colors} colors")));
            }
            let entries = bytes.get(end..).unwrap_or_default().chunks_exact(entry);
            palette = entries.take(colors as usize).map(|c| [c[2], c[1], c[0]]).collect();
            // Old programs count the palette in neither size.
            if offset == end {
                offset += entry * colors as usize;
            }
        }
        if offset == 0 {
            offset = end + palette.len() * if is_core { 3 } else { 4 };
        }
        let is_top_down = height < 0;
        let height = height.unsigned_abs();
        Ok(Self { width, height, is_top_down, bits, compression, offset, palette, masks })
    }

    /// Appends one row as RGB; run-length coded rows have a byte for each pixel.
    fn write_row(&self, row: &[u8], rgb: &mut Vec<u8>) {
        let width = self.width as usize;
        let [red, green, blue] = self.masks;
        match self.bits {
            _ if self.compression == RLE8 || self.compression == RLE4 => {
                rgb.extend(row.iter().flat_map(|&index| self.color(index)));
            }
            16 => rgb.extend(row.as_chunks().0.iter().flat_map(|pixel: &[u8; 2]| {
                let pixel = u16::from_le_bytes(*pixel).into();
                [field(pixel, red), field(pixel, green), field(pixel, blue)]
            })),
            24 => rgb.extend(row.as_chunks().0.iter().flat_map(|&[b, g, r]: &[u8; 3]| [r, g, b])),
            32 => rgb.extend(row.as_chunks().0.iter().flat_map(|pixel: &[u8; 4]| {
                let pixel = u32::from_le_bytes(*pixel);
                [field(pixel, red), field(pixel, green), field(pixel, blue)]
            })),
            bits => {
                let per_byte = 8 / usize::from(bits);
                let index = |x: usize| {
                    let shift = 8 - usize::from(bits) * (x % per_byte + 1);
                    row[x / per_byte] >> shift & ((1 << bits) - 1) as u8
                };
                rgb.extend((0..width).flat_map(|x| self.color(index(x))));
            }
        }
    }

    /// An index's color; indices beyond the palette are black.
    fn color(&self, index: u8) -> [u8; 3] {
        self.palette.get(usize::from(index)).copied().unwrap_or_default()
    }
}

/// The masks, if they and `alpha` are a combination that Pillow knows.
fn known_masks(bits: u16, masks: [u32; 3], alpha: u32) -> Result<[u32; 3], ImageFault> {
    const RGB: [u32; 3] = [0xff_0000, 0xff00, 0xff];
    let is_known = match (bits, masks, alpha) {
        (32, RGB, 0 | 0xff00_0000) => true,
        (32, [0xff00_0000, 0xff_0000, 0xff00], 0 | 0xff) => true,
        (32, [0xff00_0000, 0xff00, 0xff], 0 | 0xff_0000) => true,
        (32, [0xff, 0xff00, 0xff_0000], 0xff00_0000) => true,
        (32, [0, 0, 0], 0) => return Ok(RGB),
        (24, RGB, _) | (16, [0xf800, 0x07e0, 0x001f] | [0x7c00, 0x03e0, 0x001f], _) => true,
        _ => false,
    };
    let names = || masks.map(|mask| format!("{mask:#x}")).join(", ");
    if is_known { Ok(masks) } else { Err(unsupported(format!("bit fields {}", names()))) }
}

/// One field of a pixel, scaled to 0 … 255 and rounded down, as Pillow has it.
fn field(pixel: u32, mask: u32) -> u8 {
    let shift = mask.trailing_zeros();
    ((pixel & mask) >> shift).wrapping_mul(255).checked_div(mask >> shift).unwrap_or(0) as u8
}

/// The rows as they lie in the file, each cut to the bytes of its pixels.
fn packed_rows(
    data: &[u8],
    width: usize,
    height: usize,
    header: &BmpHeader,
) -> Result<Vec<u8>, ImageFault> {
    let row = (width * usize::from(header.bits)).div_ceil(8);
    let stride = row.next_multiple_of(4);
    if data.len() < stride * (height - 1) + row {
        return Err(cut_short());
    }
    Ok(data.chunks(stride).take(height).flat_map(|padded| &padded[..row]).copied().collect())
}

/// Run-length coded indices, a byte for each pixel, the lowest row first.
///
/// `start` is the place in the file, where runs of single pixels are padded to even places.
fn runs(
    data: &[u8],
    start: usize,
    width: usize,
    height: usize,
    nibbles: bool,
) -> Result<Vec<u8>, ImageFault> {
    let length = width * height;
    let mut indices: Vec<u8> = Vec::new();
    let mut bytes = data.iter().copied().enumerate();
    let mut next = || bytes.next().map(|(at, byte)| (start + at + 1, byte)).ok_or_else(cut_short);
    // Column of the next pixel, as far as runs are cut at the row's end.
    let mut x = 0;
    while indices.len() < length {
        let ((_, count), (_, value)) = (next()?, next()?);
        let unpacked = |index: usize, value: u8| match (nibbles, index % 2) {
            (false, _) => value,
            (true, 0) => value >> 4,
            (true, _) => value & 15,
        };
        match (count, value) {
            (0, 0) => {
                indices.resize(indices.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let ((_, right), (_, up)) = (next()?, next()?);
                let skipped = usize::from(right) + usize::from(up) * width;
                indices.resize((indices.len() + skipped).min(length), 0);
                x = indices.len() % width;
            }
            (0, count) => {
                let count = usize::from(count).min(length - indices.len());
                let (mut end, mut byte) = (0, 0);
                for index in 0..count {
                    if !nibbles || index % 2 == 0 {
                        (end, byte) = next()?;
                    }
                    indices.push(unpacked(index, byte));
                }
                x += count;
                if end % 2 == 1 && indices.len() < length {
                    next()?;
                }
            }
            (count, value) => {
                let count = usize::from(count).min(width.saturating_sub(x));
                indices.extend((0..count).map(|index| unpacked(index, value)));
                x += count;
            }
        }
    }
    if indices.len() < length {
        return Err(cut_short());
    }
    indices.truncate(length);
    Ok(indices)
}

fn cut_short() -> ImageFault {
    ImageFault::Damaged { format: "BMP", fault: "it is cut short".to_owned() }
}

fn unsupported(feature: String) -> ImageFault {
    ImageFault::Unsupported { format: "BMP", feature }
}
