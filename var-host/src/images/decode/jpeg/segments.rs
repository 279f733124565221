//! The segments of a JPEG file, walked from its start to its end-of-image marker.

use crate::images::ImageFault;

/// Markers, the byte behind 0xff.
pub(super) const END_OF_IMAGE: u8 = 0xd9;
pub(super) const START_OF_SCAN: u8 = 0xda;
pub(super) const ARITHMETIC_CONDITIONING: u8 = 0xcc;
pub(super) const APP1: u8 = 0xe1;
pub(super) const APP14: u8 = 0xee;
const DEFINE_HUFFMAN_TABLES: u8 = 0xc4;
const JPEG_EXTENSIONS: u8 = 0xc8;

/// A marker and the bytes behind its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JpegSegment<'a> {
    pub(super) marker: u8,
    pub(super) body: &'a [u8],
}

impl JpegSegment<'_> {
    /// Whether it describes a frame: the size and the components.
    pub(super) fn is_frame(&self) -> bool {
        let Self { marker, .. } = *self;
        (0xc0..=0xcf).contains(&marker)
            && ![DEFINE_HUFFMAN_TABLES, JPEG_EXTENSIONS, ARITHMETIC_CONDITIONING].contains(&marker)
    }
}

/// All segments before the end-of-image marker.
///
/// Stray bytes before a marker are passed over, as libjpeg does; cameras and old programs leave
/// them. Of two images in one file (MPO) the first is walked.
///
/// # Errors
/// If the end-of-image marker is missing, a segment is shorter than its length says, or a marker is
/// none of JPEG's.
pub(super) fn segments(bytes: &[u8]) -> Result<Vec<JpegSegment<'_>>, ImageFault> {
    let mut segments = Vec::new();
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        let (marker, behind) =
            next_marker(rest).ok_or_else(|| damaged("no end-of-image marker"))?;
        rest = match marker {
            END_OF_IMAGE => return Ok(segments),
            // Restart markers and TEM stand alone.
            0x01 | 0xd0..=0xd7 => behind,
            0xc0..=0xcf | START_OF_SCAN..=0xdf | 0xe0..=0xef | 0xfe => {
                let (body, behind) =
                    body(behind).ok_or_else(|| damaged("a segment is cut short"))?;
                segments.push(JpegSegment { marker, body });
                behind
            }
            _ => return Err(damaged(&format!("unknown marker 0xff{marker:02x}"))),
        };
    }
}

/// The next marker that is not a stuffed 0xff of entropy-coded data, and the bytes behind it.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let mut pairs = bytes.windows(2).enumerate();
    let (at, pair) = pairs.find(|(_, pair)| pair[0] == 0xff && ![0x00, 0xff].contains(&pair[1]))?;
    Some((pair[1], &bytes[at + 2..]))
}

/// The bytes that a segment's length counts, and those behind it.
fn body(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, _) = bytes.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (segment, behind) = bytes.split_at_checked(length)?;
    Some((segment.get(2..)?, behind))
}

/// The file is damaged in this way.
pub(super) fn damaged(fault: &str) -> ImageFault {
    ImageFault::Damaged { format: "JPEG", fault: fault.to_owned() }
}
