//! Netpbm: PBM, PGM and PPM, plain and raw (P1 to P6), with samples of up to 16 bits.
//!
//! As Pillow reads them: samples are scaled to 0 … 255, halves to the even number; gray with a
//! largest value above 255 is scaled to 0 … 65535 and saturates at 255.

use super::channels::repeat_gray;
use crate::images::{ImageFault, RgbImage, check_size};

/// The longest number of a header, in digits.
const LONGEST_TOKEN: usize = 10;

/// Whether it begins as a Netpbm file does.
pub(super) fn is_pnm(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', b'1'..=b'6', next, ..] if is_space(*next))
}

pub(super) fn decode(bytes: &[u8], pixel_limit: u64) -> Result<RgbImage, ImageFault> {
    let kind = bytes[1] - b'0';
    let mut reader = PnmReader { rest: &bytes[3..] };
    let (width, height) = (reader.number()?, reader.number()?);
    check_size(width.into(), height.into(), pixel_limit)?;
    let is_bilevel = matches!(kind, 1 | 4);
    let largest = if is_bilevel { 1 } else { reader.number()? };
    if !(1..=0xffff).contains(&largest) {
        return Err(damaged(&format!("largest value {largest}: wants 1 to 65535")));
    }
    let channels = if matches!(kind, 3 | 6) { 3 } else { 1 };
    let (width, height) = (width as usize, height as usize);
    let count = width * height * channels;
    let scale = PnmScale { largest, saturates: channels == 1 && largest > 255 };
    let samples = match kind {
        1 => reader.plain_bits(count)?,
        4 => reader.raw_bits(width, height)?,
        2 | 3 => reader.plain(count, &scale)?,
        _ => reader.raw(count, &scale)?,
    };
    Ok(RgbImage::new(width, height, if channels == 3 { samples } else { repeat_gray(&samples) }))
}

/// How samples become bytes.
struct PnmScale {
    largest: u32,
    /// To 0 … 65535 and cut at 255, not to 0 … 255.
    saturates: bool,
}

impl PnmScale {
    fn byte(&self, sample: u32) -> u8 {
        if self.largest == 255 {
            return sample as u8;
        }
        let top = if self.saturates { 65535.0 } else { 255.0 };
        let scaled = (f64::from(sample) / f64::from(self.largest) * top).round_ties_even();
        scaled.min(255.0) as u8
    }
}

/// The bytes not yet read.
struct PnmReader<'a> {
    rest: &'a [u8],
}

impl PnmReader<'_> {
    /// The next number of the header, with the one space behind it; comments are passed over.
    fn number(&mut self) -> Result<u32, ImageFault> {
        let mut digits = String::new();
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'#' => self.skip_line(),
                space if is_space(space) && digits.is_empty() => {}
                space if is_space(space) => break,
                digit if digit.is_ascii_digit() && digits.len() < LONGEST_TOKEN => {
                    digits.push(char::from(digit));
                }
                other => return Err(damaged(&format!("its header has byte {other:#04x}"))),
            }
        }
        digits.parse().map_err(|_| damaged(&format!("its header has the number {digits:?}")))
    }

    fn skip_line(&mut self) {
        let end = self.rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        self.rest = &self.rest[end.map_or(self.rest.len(), |end| end + 1)..];
    }

    /// The next sample in decimal digits.
    fn plain_sample(&mut self) -> Result<u32, ImageFault> {
        self.skip_spaces();
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        if rest.first().is_some_and(|&next| !is_space(next) && next != b'#') {
            return Err(damaged("a sample is no number"));
        }
        let digits = str::from_utf8(digits).expect("ASCII digits");
        digits.parse().map_err(|_| damaged(CUT_SHORT))
    }

    fn skip_spaces(&mut self) {
        while let Some((&byte, rest)) = self.rest.split_first() {
            match byte {
                b'#' => {
                    self.rest = rest;
                    self.skip_line();
                }
                space if is_space(space) => self.rest = rest,
                _ => break,
            }
        }
    }

    fn plain(&mut self, count: usize, scale: &PnmScale) -> Result<Vec<u8>, ImageFault> {
        self.check_left(count, 1)?;
        let sample = |_| match self.plain_sample()? {
            sample if sample <= scale.largest => Ok(scale.byte(sample)),
            sample => Err(damaged(&format!("a sample is {sample} of at most {}", scale.largest))),
        };
        (0..count).map(sample).collect()
    }

    /// Digits 0 (white) and 1 (black), which need no space between them.
    fn plain_bits(&mut self, count: usize) -> Result<Vec<u8>, ImageFault> {
        self.check_left(count, 1)?;
        let bit = |_| {
            self.skip_spaces();
            let (&byte, rest) = self.rest.split_first().ok_or_else(|| damaged(CUT_SHORT))?;
            self.rest = rest;
            match byte {
                b'0' => Ok(255),
                b'1' => Ok(0),
                _ => Err(damaged("a sample is neither 0 nor 1")),
            }
        };
        (0..count).map(bit).collect()
    }

    /// One byte for each sample, two where the largest value takes them.
    fn raw(&mut self, count: usize, scale: &PnmScale) -> Result<Vec<u8>, ImageFault> {
        let width = if scale.largest > 255 { 2 } else { 1 };
        self.check_left(count, width)?;
        let samples = self.rest.chunks_exact(width).take(count);
        Ok(samples
            .map(|b| scale.byte(b.iter().fold(0, |all, b| all << 8 | u32::from(*b))))
            .collect())
    }

    /// Eight pixels to a byte, rows begin at a byte; set bits are black.
    fn raw_bits(&mut self, width: usize, height: usize) -> Result<Vec<u8>, ImageFault> {
        let row = width.div_ceil(8);
        self.check_left(height, row)?;
        let rows = self.rest.chunks_exact(row).take(height);
        let pixel = |row: &[u8], x: usize| if row[x / 8] << (x % 8) & 0x80 == 0 { 255 } else { 0 };
        Ok(rows.flat_map(|row| (0..width).map(move |x| pixel(row, x))).collect())
    }

    /// Refuses a file with too few bytes, before memory is taken for its pixels.
    fn check_left(&self, count: usize, width: usize) -> Result<(), ImageFault> {
        if self.rest.len() / width < count { Err(damaged(CUT_SHORT)) } else { Ok(()) }
    }
}

const CUT_SHORT: &str = "it is cut short";

/// White space of Netpbm.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn damaged(fault: &str) -> ImageFault {
    ImageFault::Damaged { format: "PNM", fault: fault.to_owned() }
}
