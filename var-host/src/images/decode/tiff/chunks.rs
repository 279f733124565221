//! Strips and tiles of a TIFF file → samples, each in a byte.

use std::io::Read;

use flate2::read::ZlibDecoder;
use weezl::BitOrder;
use weezl::decode::Decoder as LzwDecoder;

use super::directory::{
    Directory, PREDICTOR, ROWS_PER_STRIP, STRIP_BYTE_COUNTS, STRIP_OFFSETS, TILE_BYTE_COUNTS,
    TILE_LENGTH, TILE_OFFSETS, TILE_WIDTH, damaged,
};
use super::layout::{Colors, TiffLayout, unsupported};
use crate::images::{ImageFault, check_size};

const RAW: u32 = 1;
const LZW: u32 = 5;
const DEFLATE: u32 = 8;
const OLD_DEFLATE: u32 = 32946;
const PACK_BITS: u32 = 32773;

/// The grid of strips or tiles.
pub(super) struct TiffChunks<'a> {
    layout: &'a TiffLayout,
    /// Pixels per row of a chunk.
    width: usize,
    /// Rows of a chunk; the last strip may have fewer.
    height: usize,
    is_tiled: bool,
    offsets: &'a [u32],
    /// Bytes in the file; may be missing where chunks are raw.
    lengths: &'a [u32],
    /// Whether samples are differences to the pixel on the left.
    has_differences: bool,
}

impl<'a> TiffChunks<'a> {
    pub(super) fn of(
        directory: &'a Directory,
        layout: &'a TiffLayout,
        pixel_limit: u64,
    ) -> Result<Self, ImageFault> {
        let codings = [RAW, LZW, DEFLATE, OLD_DEFLATE, PACK_BITS];
        if !codings.contains(&layout.compression) {
            let name = match layout.compression {
                2..=4 => "fax compression".to_owned(),
                6 | 7 => "JPEG compression".to_owned(),
                50000 => "Zstandard compression".to_owned(),
                50001 => "WebP compression".to_owned(),
                other => format!("compression {other}"),
            };
            return Err(unsupported(name));
        }
        let is_predicted = [LZW, DEFLATE, OLD_DEFLATE].contains(&layout.compression);
        let predictor = directory.value(PREDICTOR).filter(|_| is_predicted).unwrap_or(1);
        if predictor > 2 || predictor == 2 && layout.bits < 8 {
            return Err(unsupported(format!("predictor {predictor} of {} bits", layout.bits)));
        }
        let is_tiled = directory.values(STRIP_OFFSETS).is_empty();
        let (width, height, offsets, lengths) = if is_tiled {
            let side = |tag| directory.value(tag).unwrap_or(0);
            let (width, height) = (side(TILE_WIDTH), side(TILE_LENGTH));
            check_size(width.into(), height.into(), pixel_limit)?;
            (width as usize, height as usize, TILE_OFFSETS, TILE_BYTE_COUNTS)
        } else {
            let rows = directory.value(ROWS_PER_STRIP).map_or(layout.height, |rows| rows as usize);
            (layout.width, rows.clamp(1, layout.height), STRIP_OFFSETS, STRIP_BYTE_COUNTS)
        };
        let chunks = Self {
            layout,
            width,
            height,
            is_tiled,
            offsets: directory.values(offsets),
            lengths: directory.values(lengths),
            has_differences: predictor == 2,
        };
        let wanted = chunks.across() * chunks.down() * chunks.planes();
        if chunks.offsets.len() < wanted {
            let found = chunks.offsets.len();
            return Err(damaged(&format!("{found} strips or tiles of {wanted}")));
        }
        Ok(chunks)
    }

    fn across(&self) -> usize {
        self.layout.width.div_ceil(self.width)
    }

    fn down(&self) -> usize {
        self.layout.height.div_ceil(self.height)
    }

    fn planes(&self) -> usize {
        if self.layout.is_planar { self.layout.samples } else { 1 }
    }

    /// All samples of the image, `height × width × samples`, 16-bit ones reduced to a byte.
    pub(super) fn samples(&self, bytes: &[u8]) -> Result<Vec<u8>, ImageFault> {
        let TiffLayout { width, height, samples, .. } = *self.layout;
        // Samples of a pixel that lie beside one another in a chunk.
        let together = samples / self.planes();
        let row_bytes = (self.width * together * self.layout.bits).div_ceil(8);
        let mut all = vec![0; width * height * samples];
        for chunk in 0..self.across() * self.down() * self.planes() {
            let (plane, chunk_of_plane) =
                (chunk / (self.across() * self.down()), chunk % (self.across() * self.down()));
            let top = chunk_of_plane / self.across() * self.height;
            let left = chunk_of_plane % self.across() * self.width;
            let rows = self.height.min(height - top);
            let stored_rows = if self.is_tiled { self.height } else { rows };
            let data = self.unpacked(bytes, chunk, row_bytes, stored_rows)?;
            let columns = self.width.min(width - left);
            for (y, row) in data.chunks_exact(row_bytes).take(rows).enumerate() {
                let row = self.row_samples(row, columns * together, together);
                let start = ((top + y) * width + left) * samples;
                if self.planes() == 1 {
                    all[start..][..row.len()].copy_from_slice(&row);
                } else {
                    let targets = all[start + plane..].iter_mut().step_by(samples);
                    targets.zip(row).for_each(|(target, sample)| *target = sample);
                }
            }
        }
        Ok(all)
    }

    /// A chunk's bytes without compression, `rows · row_bytes` of them.
    fn unpacked(
        &self,
        bytes: &[u8],
        chunk: usize,
        row_bytes: usize,
        rows: usize,
    ) -> Result<Vec<u8>, ImageFault> {
        let cut_short = || damaged("a strip or tile is cut short");
        let length = rows * row_bytes;
        let data = bytes.get(self.offsets[chunk] as usize..).ok_or_else(cut_short)?;
        if self.layout.compression == RAW {
            let mut data = data.get(..length).ok_or_else(cut_short)?.to_vec();
            if self.layout.is_reversed {
                data.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
            }
            return Ok(data);
        }
        let packed = *self.lengths.get(chunk).ok_or_else(|| damaged("lengths are missing"))?;
        let mut packed = data[..data.len().min(packed as usize)].to_vec();
        if self.layout.is_reversed {
            packed.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        let mut unpacked = vec![0; length];
        let is_whole = match self.layout.compression {
            LZW => unpack_lzw(&packed, &mut unpacked),
            PACK_BITS => unpack_bits(&packed, &mut unpacked),
            _ => ZlibDecoder::new(&packed[..]).read_exact(&mut unpacked).is_ok(),
        };
        if is_whole { Ok(unpacked) } else { Err(cut_short()) }
    }

    /// One row's first `count` samples, each in a byte; `together` of them belong to a pixel.
    fn row_samples(&self, row: &[u8], count: usize, together: usize) -> Vec<u8> {
        let bits = self.layout.bits;
        if bits < 8 {
            let per_byte = 8 / bits;
            let sample = |n: usize| {
                row[n / per_byte] >> (8 - bits * (n % per_byte + 1)) & ((1 << bits) - 1) as u8
            };
            return (0..count).map(sample).collect();
        }
        if bits == 8 {
            let mut row = row[..count].to_vec();
            for n in together..if self.has_differences { count } else { 0 } {
                row[n] = row[n].wrapping_add(row[n - together]);
            }
            return row;
        }
        let word = if self.layout.is_big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
        let mut row: Vec<u16> = row.as_chunks().0.iter().take(count).map(|b| word(*b)).collect();
        for n in together..if self.has_differences { count } else { 0 } {
            row[n] = row[n].wrapping_add(row[n - together]);
        }
        let saturates = self.layout.colors == Colors::Gray;
        let byte = |word: u16| if saturates { word.min(255) as u8 } else { (word >> 8) as u8 };
        row.into_iter().map(byte).collect()
    }
}

/// Whether all of `unpacked` could be filled.
fn unpack_lzw(mut packed: &[u8], mut unpacked: &mut [u8]) -> bool {
    let mut decoder = LzwDecoder::with_tiff_size_switch(BitOrder::Msb, 8);
    while !unpacked.is_empty() {
        let step = decoder.decode_bytes(packed, unpacked);
        packed = &packed[step.consumed_in..];
        unpacked = &mut unpacked[step.consumed_out..];
        if step.status.is_err() || step.consumed_in == 0 && step.consumed_out == 0 {
            return unpacked.is_empty();
        }
    }
    true
}

/// Whether all of `unpacked` could be filled.
fn unpack_bits(packed: &[u8], unpacked: &mut [u8]) -> bool {
    let (mut packed, mut filled) = (packed.iter().copied(), 0);
    while filled < unpacked.len() {
        let Some(head) = packed.next() else { return false };
        let target = |count: usize| filled..(filled + count).min(unpacked.len());
        match head as i8 {
            -128 => {}
            head @ 0.. => {
                let target = target(head as usize + 1);
                for byte in &mut unpacked[target.clone()] {
                    let Some(value) = packed.next() else { return false };
                    *byte = value;
                }
                filled = target.end;
            }
            head => {
                let Some(value) = packed.next() else { return false };
                let target = target(1 + usize::from(head.unsigned_abs()));
                unpacked[target.clone()].fill(value);
                filled = target.end;
            }
        }
    }
    true
}
