//! The checksum of a whole file, kept in its own metadata.
//!
//! It is the CRC-64 (NVMe's polynomial) of all bytes of the file, with zeros in the place of its own
//! sixteen hexadecimal digits. A change within 64 bits in a row is always seen, any other but once in
//! 2⁶⁴ times.

use core::ops::Range;

use super::crc::Crc;
use super::digest::PARTS;
use super::{Checkpoint, FormatError};

/// The key in the metadata.
pub(crate) const KEY: &str = "checksum";

/// Placeholder of the digits while the checksum is computed.
pub(crate) const OPEN: &str = "0000000000000000";

/// Writes into `header`, which begins a file and has [`OPEN`] digits, the checksum of the whole file;
/// `rest` is that of the bytes after the header.
///
/// # Panics
/// If the header has no place for it.
pub(crate) fn close(header: &mut [u8], rest: &Crc) {
    let place = place(header, KEY, OPEN.len()).expect("the header was given a place");
    let mut whole = Crc::default();
    whole.update(header);
    whole.append(rest);
    header[place].copy_from_slice(whole.text().as_bytes());
}

/// Where the text of `length` characters under `key` of the metadata is in a file or its header.
pub(super) fn place(file: &[u8], key: &str, length: usize) -> Option<Range<usize>> {
    let header = u64::from_le_bytes(*file.first_chunk()?);
    let header = &file[..usize::try_from(header).ok()?.saturating_add(8).min(file.len())];
    // In a JSON text the quotes within values are escaped, so that only the key looks like this.
    let key = format!("\"{key}\":\"");
    let start = header.windows(key.len()).position(|part| part == key.as_bytes())? + key.len();
    let place = start..start + length;
    (header.get(place.end) == Some(&b'"')).then_some(place)
}

impl Checkpoint {
    /// Reads the whole file and compares it with the checksum in its metadata, which every file of
    /// [`save`](super::save()) has.
    ///
    /// # Errors
    ///
    /// [`FormatError::Checksum`] if the file has changed since; [`FormatError::NoChecksum`] if
    /// there is none.
    pub fn verify(&self) -> Result<(), FormatError> {
        let written = self.metadata().get(KEY).ok_or(FormatError::NoChecksum)?;
        compare(self.only_source().ok_or(FormatError::NoChecksum)?, written)
    }

    /// Whether the file has a checksum, which [holds](Self::verify): files of others have none.
    ///
    /// # Errors
    ///
    /// [`FormatError::Checksum`] if the file has changed since, [`FormatError::NoChecksum`] if it
    /// has a digest, as files of ours have it beside a checksum, but none.
    pub fn verify_if_ours(&self) -> Result<bool, FormatError> {
        let metadata = self.metadata();
        verify_if_ours(self.only_source().unwrap_or_default(), |key| metadata.get(key))
    }
}

/// [`Checkpoint::verify_if_ours`] of a file with such metadata.
pub(crate) fn verify_if_ours<'m>(
    file: &[u8],
    metadata: impl Fn(&str) -> Option<&'m String>,
) -> Result<bool, FormatError> {
    match metadata(KEY) {
        Some(written) => compare(file, written).map(|()| true),
        None if PARTS.iter().any(|(key, _)| metadata(key).is_some()) => {
            Err(FormatError::NoChecksum)
        }
        None => Ok(false),
    }
}

/// Compares the checksum `written` in the metadata of `file` with that of its bytes.
fn compare(file: &[u8], written: &str) -> Result<(), FormatError> {
    let place = place(file, KEY, OPEN.len()).ok_or(FormatError::NoChecksum)?;
    let mut crc = Crc::default();
    crc.update(&file[..place.start]);
    crc.update(OPEN.as_bytes());
    crc.update(&file[place.end..]);
    let computed = crc.text();
    if *written == computed {
        Ok(())
    } else {
        Err(FormatError::Checksum { written: written.to_owned(), computed })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::checkpoint::{Dtype, Record, write_uncommitted};

    /// A small file with metadata that looks like a checksum.
    fn file() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checked");
        let records = [
            Record::borrowed("checksum", Dtype::F32, [2], &[1, 2, 3, 4, 5, 6, 7, 8]),
            Record::borrowed("b", Dtype::U8, [3], &[9, 9, 9]),
        ];
        let metadata = [("a", "\"checksum\":\"0123456789abcdef\""), ("config", "{}")];
        let metadata = metadata.map(|(key, text)| (key.to_owned(), text.to_owned()));
        write_uncommitted(&path, records, BTreeMap::from(metadata)).unwrap().commit().unwrap();
        fs::read(path).unwrap()
    }

    #[test]
    fn whole_file_is_verified() {
        let file = file();
        Checkpoint::from_bytes(&file).unwrap().verify().unwrap();
    }

    #[test]
    fn file_without_a_checksum_is_told_apart() {
        let file = std::fs::read("../fixtures/fashion_reference.safetensors").unwrap();
        let fault = Checkpoint::from_bytes(&file).unwrap().verify();
        assert!(matches!(fault, Err(FormatError::NoChecksum)));
    }

    proptest! {
        #[test]
        fn any_other_byte_is_seen(at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let mut file = file();
            let at = at.index(file.len());
            file[at] ^= flip;
            let fault = Checkpoint::from_bytes(&file).and_then(|checkpoint| checkpoint.verify());
            prop_assert!(fault.is_err(), "byte {at}");
        }

        #[test]
        fn shorter_file_is_seen(length in any::<prop::sample::Index>()) {
            let file = file();
            let length = length.index(file.len());
            let fault = Checkpoint::from_bytes(&file[..length]).and_then(|found| found.verify());
            prop_assert!(fault.is_err(), "{length} bytes");
        }
    }
}
