//! PNG: the default image, as Pillow's `convert("RGB")` has it.
//!
//! Alpha and transparent colors are dropped; 16-bit gray saturates at 255, other 16-bit samples
//! keep their high byte; indices beyond the palette are black. As Pillow has it, checksums of chunks
//! before the image data must hold, those of the data and of chunks behind need not: zlib's own must,
//! where it is there. Neither the end chunk nor anything behind the data is missed.

use std::io::{Cursor, Read};

use flate2::read::ZlibDecoder;

use self::chunks::{PngChunks, SIGNATURE, damaged};
use super::channels::repeat_gray;
use crate::images::{ImageFault, RgbImage, check_size};

mod chunks;

const GRAY: u8 = 0;
const PALETTE: u8 = 3;

/// The most bytes of a stored block of deflate.
const STORED_BLOCK: usize = 0xffff;

pub(super) fn decode(bytes: &[u8], pixel_limit: u64) -> Result<RgbImage, ImageFault> {
    let chunks = PngChunks::of(bytes)?;
    let header = PngHeader::of(chunks.header)?;
    check_size(header.width.into(), header.height.into(), pixel_limit)?;
    let (width, height) = (header.width as usize, header.height as usize);
    let sound = sound_file(&header, chunks.palette, &inflated(&chunks.data, header.bytes())?);

    let mut decoder = png::Decoder::new(Cursor::new(sound));
    decoder.ignore_checksums(true);
    let is_wide_gray = header.depth == 16 && header.color == GRAY;
    decoder.set_transformations(if is_wide_gray {
        png::Transformations::IDENTITY
    } else {
        png::Transformations::normalize_to_color8()
    });
    let mut reader = decoder.read_info()?;
    let mut samples = vec![0; reader.output_buffer_size().ok_or_else(|| damaged("its size"))?];
    reader.next_frame(&mut samples)?;
    if is_wide_gray {
        let words = samples.as_chunks().0.iter().map(|word| u16::from_be_bytes(*word));
        samples = words.map(|word| word.min(255) as u8).collect();
    }
    let rgb = match samples.len() / (width * height) {
        1 => repeat_gray(&samples),
        2 => samples.chunks_exact(2).flat_map(|pixel| [pixel[0]; 3]).collect(),
        3 => samples,
        _ => super::channels::drop_alpha(samples),
    };
    Ok(RgbImage::new(width, height, rgb))
}

/// The value of the chunk eXIf, wherever it is.
pub(super) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    chunks::all(bytes).find_map(|chunk| (chunk.kind == *b"eXIf").then_some(chunk.data))
}

/// IHDR.
struct PngHeader {
    width: u32,
    height: u32,
    /// Bits per sample.
    depth: u8,
    color: u8,
    is_interlaced: bool,
}

impl PngHeader {
    fn of(chunk: &[u8]) -> Result<Self, ImageFault> {
        let [w3, w2, w1, w0, h3, h2, h1, h0, depth, color, _, filter, interlace, ..] = *chunk
        else {
            return Err(damaged("chunk IHDR is too short"));
        };
        let is_known = match color {
            0 => [1, 2, 4, 8, 16].contains(&depth),
            3 => [1, 2, 4, 8].contains(&depth),
            2 | 4 | 6 => [8, 16].contains(&depth),
            _ => false,
        };
        if !is_known || filter != 0 {
            return Err(damaged(&format!(
                "{depth} bits per sample of color type {color}, filter method {filter}"
            )));
        }
        let (width, height) =
            (u32::from_be_bytes([w3, w2, w1, w0]), u32::from_be_bytes([h3, h2, h1, h0]));
        Ok(Self { width, height, depth, color, is_interlaced: interlace != 0 })
    }

    /// Bits of a pixel.
    fn pixel_bits(&self) -> u64 {
        let samples = match self.color {
            2 => 3,
            4 => 2,
            6 => 4,
            _ => 1,
        };
        samples * u64::from(self.depth)
    }

    /// Bytes of the filtered rows, each with its filter's byte.
    fn bytes(&self) -> u64 {
        let pass = |left: u64, top: u64, across: u64, down: u64| {
            let width = u64::from(self.width).saturating_sub(left).div_ceil(across);
            let height = u64::from(self.height).saturating_sub(top).div_ceil(down);
            if width == 0 { 0 } else { height * (1 + (width * self.pixel_bits()).div_ceil(8)) }
        };
        if !self.is_interlaced {
            return pass(0, 0, 1, 1);
        }
        let adam7 = [
            (0, 0, 8, 8),
            (4, 0, 8, 8),
            (0, 4, 4, 8),
            (2, 0, 4, 4),
            (0, 2, 2, 4),
            (1, 0, 2, 2),
            (0, 1, 1, 2),
        ];
        adam7.map(|(left, top, across, down)| pass(left, top, across, down)).iter().sum()
    }
}

/// The first `length` bytes of a zlib stream.
///
/// # Errors
/// If there are fewer, or the stream is damaged or its checksum another; a checksum may be missing.
fn inflated(data: &[u8], length: u64) -> Result<Vec<u8>, ImageFault> {
    let fault = |error: std::io::Error| damaged(&format!("its data: {error}"));
    let mut decoder = ZlibDecoder::new(data);
    let mut inflated = Vec::new();
    let mut limited = decoder.by_ref().take(length);
    let is_cut_short = |error: &std::io::Error| error.kind() == std::io::ErrorKind::UnexpectedEof;
    match limited.read_to_end(&mut inflated) {
        Err(error) if !is_cut_short(&error) => return Err(fault(error)),
        _ if (inflated.len() as u64) < length => return Err(damaged("it is cut short")),
        _ => {}
    }
    // The checksum is looked at behind the last byte; zlib streams may hold more than is wanted.
    match decoder.read(&mut [0]) {
        Err(error) if !is_cut_short(&error) => Err(fault(error)),
        _ => Ok(inflated),
    }
}

/// A PNG file of nothing but the header, the palette and the rows; its checksums are zero.
fn sound_file(header: &PngHeader, palette: &[u8], rows: &[u8]) -> Vec<u8> {
    let mut file = SIGNATURE.to_vec();
    let size = [header.width.to_be_bytes(), header.height.to_be_bytes()].concat();
    let kinds = [header.depth, header.color, 0, 0, header.is_interlaced.into()];
    chunks::write(&mut file, b"IHDR", &[&size[..], &kinds].concat());
    if header.color == PALETTE {
        let mut palette = palette.as_chunks::<3>().0.as_flattened().to_vec();
        palette.resize(3 << header.depth, 0);
        chunks::write(&mut file, b"PLTE", &palette);
    }
    chunks::write(&mut file, b"IDAT", &stored(rows));
    chunks::write(&mut file, b"IEND", &[]);
    file
}

/// A zlib stream of `rows` in stored blocks; its checksum is zero.
fn stored(rows: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(rows.len() + rows.len() / STORED_BLOCK * 5 + 16);
    stream.extend([0x78, 0x01]);
    let last = rows.len().div_ceil(STORED_BLOCK) - 1;
    for (index, block) in rows.chunks(STORED_BLOCK).enumerate() {
        let length = block.len() as u16;
        stream.push((index == last).into());
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    stream.extend([0; 4]);
    stream
}

#[cfg(test)]
mod tests;
