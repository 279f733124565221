//! JPEG: 8-bit baseline, extended and progressive, by a port of libjpeg-turbo: Pillow's pixels to the
//! bit.
//!
//! Refused by name: 12-bit samples, lossless and hierarchical frames, progressive arithmetic coding,
//! two components, components of one name, luma coarser than chroma, and black coarser than cyan. Four
//! components are CMYK as Adobe writes it, inverted: each color is multiplied by black.

use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};

use self::segments::{APP1, APP14, ARITHMETIC_CONDITIONING, JpegSegment, START_OF_SCAN, damaged};
use crate::images::{ImageFault, PIXEL_LIMIT, RgbImage, check_size};

mod segments;

const PROGRESSIVE: u8 = 0xc2;
const ARITHMETIC: u8 = 0xc9;

/// The most scans a file may have: progressive files have about ten, and each takes the time of a
/// whole image.
const SCAN_LIMIT: usize = 500;

pub(super) fn decode(bytes: &[u8], pixel_limit: u64) -> Result<RgbImage, ImageFault> {
    let segments = segments::segments(bytes)?;
    let mut frames = segments.iter().filter(|segment| segment.is_frame());
    let frame = frames.next().ok_or_else(|| damaged("no frame"))?;
    if frames.next().is_some() {
        return Err(damaged("more than one frame"));
    }
    let frame = Frame::of(frame)?;
    check_size(frame.width.into(), frame.height.into(), pixel_limit)?;
    frame.check()?;
    segments.iter().try_for_each(check_segment)?;
    frame.check_scans(&segments)?;
    // Huffman codes take a bit at least for each 8 × 8 pixels.
    let pixels = u64::from(frame.width) * u64::from(frame.height);
    if frame.marker != ARITHMETIC && pixels > bytes.len() as u64 * 8 * 64 {
        return Err(damaged("its data are cut short"));
    }

    let limits = DecodeLimits {
        max_width: u16::MAX.into(),
        max_height: u16::MAX.into(),
        max_pixels: PIXEL_LIMIT,
        max_scans: SCAN_LIMIT,
        ..DecodeLimits::default()
    };
    let mut decoder = Decoder::new_with_limits(bytes, limits)?;
    decoder.set_output_format(PixelFormat::Rgb);
    // As libjpeg does where a progressive file ends before its last refinement.
    decoder.set_block_smoothing(true);
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let mut rgb = vec![0; width * height * 3];
    let image = decoder.decode_image_into(&mut rgb)?;
    if (image.width, image.height) != (width, height) {
        return Err(damaged("its frame has another size"));
    }
    Ok(RgbImage::new(width, height, rgb))
}

/// The value of APP1's EXIF block, without its identifier.
pub(super) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    let segments = segments::segments(bytes).ok()?;
    let mut app1 = segments.iter().filter(|segment| segment.marker == APP1);
    app1.find_map(|segment| segment.body.strip_prefix(b"Exif\0\0"))
}

/// A frame's header.
struct Frame {
    /// The coding process, the marker's byte.
    marker: u8,
    /// Bits per sample.
    precision: u8,
    width: u16,
    height: u16,
    /// Name of each component.
    names: Vec<u8>,
    /// Sampling factors of each component, horizontal and vertical.
    sampling: Vec<(u8, u8)>,
}

impl Frame {
    fn of(segment: &JpegSegment<'_>) -> Result<Self, ImageFault> {
        let [precision, h1, h0, w1, w0, components, rest @ ..] = segment.body else {
            return Err(damaged("the frame's header is cut short"));
        };
        let names = rest.chunks_exact(3).map(|c| c[0]).collect();
        let sampling = rest.chunks_exact(3).map(|c| (c[1] >> 4, c[1] & 15)).collect();
        if rest.len() != 3 * usize::from(*components) {
            return Err(damaged("the frame's header has another length than its components take"));
        }
        let (height, width) = (u16::from_be_bytes([*h1, *h0]), u16::from_be_bytes([*w1, *w0]));
        Ok(Self { marker: segment.marker, precision: *precision, width, height, names, sampling })
    }

    /// Refuses the layouts that Pillow does not read or the decoder cannot be trusted with.
    fn check(&self) -> Result<(), ImageFault> {
        let unsupported = |feature: String| ImageFault::Unsupported { format: "JPEG", feature };
        let process = match self.marker {
            0xc0..=PROGRESSIVE | ARITHMETIC => None,
            0xc3 | 0xcb => Some("lossless coding"),
            0xca => Some("progressive arithmetic coding"),
            _ => Some("hierarchical coding"),
        };
        if let Some(process) = process {
            return Err(unsupported(process.to_owned()));
        }
        if self.precision != 8 {
            return Err(unsupported(format!("{} bits per sample", self.precision)));
        }
        match self.sampling[..] {
            [_] | [_, _, _] | [_, _, _, _] => {}
            ref components => return Err(unsupported(format!("{} components", components.len()))),
        }
        if !are_different(self.names.clone()) {
            return Err(unsupported("components of one name".to_owned()));
        }
        // The decoder takes black to be sampled as the first component, yellow as magenta.
        if let [first, second, third, black] = self.sampling[..]
            && (black != first || third != second)
        {
            let all = self.sampling.iter().map(|(x, y)| format!("{x} × {y}"));
            let all = all.collect::<Vec<_>>().join(", ");
            return Err(unsupported(format!("four components sampled {all}")));
        }
        let (luma, rest) = self.sampling.split_first().expect("at least one component");
        match rest.iter().find(|chroma| chroma.0 > luma.0 || chroma.1 > luma.1) {
            None => Ok(()),
            Some((x, y)) => {
                let luma = format!("{} × {}", luma.0, luma.1);
                Err(unsupported(format!("luma sampled {luma} beside chroma sampled {x} × {y}")))
            }
        }
    }

    /// Refuses a sequential image with scans that are neither one of all components nor one of each.
    fn check_scans(&self, segments: &[JpegSegment<'_>]) -> Result<(), ImageFault> {
        let all = self.sampling.len();
        let scans = segments.iter().filter(|segment| segment.marker == START_OF_SCAN);
        // How many components, and the first one's name.
        let scans: Vec<_> = scans.map(|scan| (usize::from(scan.body[0]), scan.body[1])).collect();
        if self.marker == PROGRESSIVE || matches!(scans[..], [(count, _)] if count == all) {
            return Ok(());
        }
        if let Some((count, _)) = scans.iter().find(|(count, _)| *count != 1) {
            let feature = format!("a scan of {count} of {all} components");
            return Err(ImageFault::Unsupported { format: "JPEG", feature });
        }
        if scans.len() != all {
            let count = scans.len();
            return Err(damaged(&format!("{count} scans of single components, {all} components")));
        }
        let names = scans.iter().map(|(_, name)| *name).collect();
        if are_different(names) { Ok(()) } else { Err(damaged("a component has no scan")) }
    }
}

/// Whether no name is there twice.
fn are_different(mut names: Vec<u8>) -> bool {
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    names.len() == count
}

/// Refuses segments that libjpeg or Pillow refuse and the decoder passes over.
fn check_segment(segment: &JpegSegment<'_>) -> Result<(), ImageFault> {
    let JpegSegment { marker, body } = *segment;
    let is_sound = match marker {
        // One byte for the number of components, two for each, three for the coefficients.
        START_OF_SCAN => {
            body.first().is_some_and(|&count| body.len() == 4 + 2 * usize::from(count))
        }
        // Pairs of a table's number and its bounds: L ≤ U of a table for DC.
        ARITHMETIC_CONDITIONING => {
            let (pairs, rest) = body.as_chunks();
            let is_pair =
                |&[table, value]: &[u8; 2]| table < 32 && (table >= 16 || value & 15 <= value >> 4);
            rest.is_empty() && pairs.iter().all(is_pair)
        }
        APP14 => !body.starts_with(b"Adobe") || body.len() >= 7,
        _ => true,
    };
    if is_sound { Ok(()) } else { Err(damaged(&format!("bad segment 0xff{marker:02x}"))) }
}

#[cfg(test)]
mod tests;
