//! The chunks of a PNG file.

use std::borrow::Cow;

use crate::images::ImageFault;

/// The first bytes of every PNG file.
pub(super) const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";

/// A chunk; `checksum` is missing where the file ends before it.
pub(super) struct PngChunk<'a> {
    pub(super) kind: [u8; 4],
    /// As much of the data as is in the file.
    pub(super) data: &'a [u8],
    length: usize,
    checksum: Option<u32>,
}

impl PngChunk<'_> {
    fn name(&self) -> String {
        String::from_utf8_lossy(&self.kind).into_owned()
    }

    /// Refuses a chunk that is cut short, fails its checksum, or is shorter than its kind must be.
    fn check(&self) -> Result<(), ImageFault> {
        let least = match &self.kind {
            b"IHDR" => 13,
            b"gAMA" => 4,
            b"cHRM" => 32,
            b"sRGB" => 1,
            b"pHYs" => 9,
            b"acTL" => 8,
            _ => 0,
        };
        if self.data.len() < self.length || self.checksum.is_none() {
            return Err(damaged("it is cut short"));
        }
        if self.length < least {
            return Err(damaged(&format!("chunk {} is too short", self.name())));
        }
        if self.checksum != Some(checksum(&self.kind, self.data)) {
            return Err(damaged(&format!("chunk {} has another checksum", self.name())));
        }
        Ok(())
    }
}

/// All chunks up to the end chunk, the file's end, or something that is none.
pub(super) fn all(bytes: &[u8]) -> impl Iterator<Item = PngChunk<'_>> {
    let mut rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    core::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk()?;
        let (kind, behind) = behind.split_first_chunk()?;
        if !kind.iter().all(u8::is_ascii_alphanumeric) || kind == b"IEND" {
            return None;
        }
        let length = u32::from_be_bytes(*length) as usize;
        let (data, behind) = behind.split_at(length.min(behind.len()));
        let checksum = behind.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        rest = behind.get(4..).unwrap_or_default();
        Some(PngChunk { kind: *kind, data, length, checksum })
    })
}

/// The chunks that pixels come from.
pub(super) struct PngChunks<'a> {
    pub(super) header: &'a [u8],
    pub(super) palette: &'a [u8],
    /// The data of all IDAT chunks that follow one another.
    pub(super) data: Cow<'a, [u8]>,
}

impl<'a> PngChunks<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, ImageFault> {
        let (mut header, mut palette, mut data) = (None, &[][..], Cow::Borrowed(&[][..]));
        let mut has_data = false;
        for chunk in all(bytes) {
            match (&chunk.kind, has_data) {
                (b"IDAT", _) => {
                    has_data = true;
                    match &mut data {
                        Cow::Borrowed([]) => data = Cow::Borrowed(chunk.data),
                        data => data.to_mut().extend(chunk.data),
                    }
                    continue;
                }
                (_, true) => break,
                (b"IHDR", _) => header = Some(chunk.data),
                (b"PLTE", _) => palette = chunk.data,
                (b"CgBI", _) => {
                    let feature = "Apple's compression (CgBI)".to_owned();
                    return Err(ImageFault::Unsupported { format: "PNG", feature });
                }
                _ => {}
            }
            chunk.check()?;
        }
        let header = header.ok_or_else(|| damaged("no header"))?;
        if !has_data {
            return Err(damaged("no image data"));
        }
        Ok(Self { header, palette, data })
    }
}

/// Appends a chunk; its checksum is zero.
pub(super) fn write(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).expect("rows of a checked size");
    file.extend(length.to_be_bytes());
    file.extend(kind);
    file.extend(data);
    file.extend([0; 4]);
}

/// CRC-32 of a chunk's kind and data.
fn checksum(kind: &[u8; 4], data: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    crc.sum()
}

/// The file is damaged in this way.
pub(super) fn damaged(fault: &str) -> ImageFault {
    ImageFault::Damaged { format: "PNG", fault: fault.to_owned() }
}
