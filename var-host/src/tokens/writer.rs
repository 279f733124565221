//! The tokens of a data set, written image by image.

use core::fmt;
use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::path::Path;

use serde_json::json;

use super::{TokenFault, TokenFileError, ladder_length, ladder_text};
use crate::atomic_file::AtomicFile;
use crate::checkpoint::checksum;
use crate::checkpoint::crc::Crc;
use crate::images::CropSettings;
use crate::model::Identity;

/// Writes a tokens file of many images, under a temporary name until it is whole.
///
/// Only the labels are kept in memory. Dropped unfinished, it leaves nothing.
pub struct TokenWriter {
    file: AtomicFile,
    ladder: Vec<u32>,
    variants: usize,
    classes: Vec<String>,
    vqvae: Option<Identity>,
    cut: Option<CropSettings>,
    /// Of the bytes after the header.
    crc: Crc,
    /// Bytes reserved for the header: those of one for the most images.
    header: usize,
    most: usize,
    /// One for each image.
    labels: Vec<i32>,
    row: Vec<u8>,
}

impl TokenWriter {
    /// Begins a file for at most `most` images of the classes called `classes`, with `variants`
    /// images of each, made by the VQVAE `vqvae` of images cut so, if these are known.
    ///
    /// # Panics
    /// If a side of the ladder is zero or there is none, or there are no variants.
    ///
    /// # Errors
    /// If the system cannot write, or the file exists and `overwrite` is false.
    #[track_caller]
    pub fn create(
        path: &Path,
        overwrite: bool,
        ladder: Vec<u32>,
        variants: usize,
        classes: Vec<String>,
        most: usize,
        vqvae: Option<Identity>,
        cut: Option<CropSettings>,
    ) -> Result<Self, TokenFileError> {
        assert!(ladder_length(&ladder).is_some(), "token writer: the ladder has no or zero sides");
        assert!(variants > 0, "token writer: no variants");
        let file = AtomicFile::create(path, overwrite)
            .map_err(|error| TokenFault::from(error).of(path))?;
        let (labels, row) = (Vec::new(), Vec::new());
        let crc = Crc::default();
        let mut writer =
            Self { file, ladder, variants, classes, vqvae, cut, crc, header: 0, most, labels, row };
        let header = writer.header(most);
        writer.header = header.len();
        writer.write(&header)?;
        Ok(writer)
    }

    /// Adds an image: its label, and the L tokens of each of its variants.
    ///
    /// # Panics
    /// If there are more or fewer variants or tokens than was said, or more images.
    ///
    /// # Errors
    /// If the system cannot write.
    #[track_caller]
    pub fn push(&mut self, label: u32, variants: &[Vec<u32>]) -> Result<(), TokenFileError> {
        assert!(self.labels.len() < self.most, "token writer: more than {} images", self.most);
        assert_eq!(variants.len(), self.variants, "token writer: variants of an image");
        let length = self.tokens_per_image();
        self.row.clear();
        for tokens in variants {
            assert_eq!(tokens.len(), length, "token writer: tokens of an image");
            self.row.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
        }
        self.labels.push(label as i32);
        self.crc.update(&self.row);
        self.file.write_all(&self.row).map_err(|error| self.fault(error))
    }

    /// How many images were added.
    pub fn pictures(&self) -> usize {
        self.labels.len()
    }

    /// Writes labels and header, brings all to the disk and gives the file its name.
    ///
    /// # Errors
    /// If the system cannot write, or the file has come to exist and was not to be overwritten.
    pub fn finish(mut self) -> Result<(), TokenFileError> {
        let labels = self.labels.iter().flat_map(|label| vec![label.to_le_bytes(); self.variants]);
        let labels: Vec<u8> = labels.flatten().collect();
        self.crc.update(&labels);
        self.write(&labels)?;
        let mut header = self.header(self.labels.len());
        // Fewer images than were thought of leave room, which is filled as the format allows.
        header.resize(self.header, b' ');
        let length = (self.header - 8) as u64;
        header[..8].copy_from_slice(&length.to_le_bytes());
        checksum::close(&mut header, &self.crc);
        self.file.rewind().map_err(|error| self.fault(error))?;
        self.write(&header)?;
        let path = self.file.path().to_path_buf();
        self.file.commit().map_err(|error| TokenFault::from(error).of(&path))
    }

    /// The header of a file of so many images, its length before it, padded to whole 8 bytes.
    fn header(&self, pictures: usize) -> Vec<u8> {
        let (images, length) = (pictures * self.variants, self.tokens_per_image());
        let labels_start = images * length * size_of::<i32>();
        let end = labels_start + images * size_of::<i32>();
        let tensor = |shape: &[usize], start: usize, end: usize| json!({ "dtype": "I32", "shape": shape, "data_offsets": [start, end] });
        let mut metadata = BTreeMap::from([
            (checksum::KEY, checksum::OPEN.to_owned()),
            ("ladder", ladder_text(&self.ladder)),
            ("variants", self.variants.to_string()),
            ("classes", json!(self.classes).to_string()),
        ]);
        metadata.extend(self.cut.map(|cut| ("cut", json!(cut).to_string())));
        metadata.extend(self.vqvae.iter().flat_map(Identity::as_vqvae));
        let text = json!({
            "__metadata__": metadata,
            "tokens": tensor(&[images, length], 0, labels_start),
            "labels": tensor(&[images], labels_start, end),
        });
        let mut text = text.to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        let mut header = (text.len() as u64).to_le_bytes().to_vec();
        header.extend(text);
        header
    }

    fn tokens_per_image(&self) -> usize {
        ladder_length(&self.ladder).expect("the ladder was checked")
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TokenFileError> {
        self.file.write_all(bytes).map_err(|error| self.fault(error))
    }

    fn fault(&self, error: std::io::Error) -> TokenFileError {
        TokenFault::Io(error).of(self.file.path())
    }
}

impl fmt::Debug for TokenWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenWriter").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{MappedTokens, TokenFile};
    use super::*;
    use crate::checkpoint::{Checkpoint, Digest};
    use crate::images::CropMode;

    proptest! {
        #[test]
        fn written_files_are_read_by_both_readers(
            pictures in 0_usize..12, missing in 0_usize..3, variants in 1_usize..4, seed: u16,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("tokens");
            let classes = vec!["a \"b\"".to_owned(), "c".to_owned()];
            let cut = (variants > 1).then_some(CropSettings { mid_reso: 1.125, crop: CropMode::Random });
            // A hundred and one images more have more digits.
            let most = pictures + missing * 101;
            let digest = |name: &[u8]| Digest::of_bytes(name);
            let vqvae = Identity { digest: digest(b"f16"), source: digest(b"f32") };
            let vqvae = (seed % 2 == 0).then_some(vqvae);
            let mut writer =
                TokenWriter::create(&path, false, vec![1, 2], variants, classes.clone(), most, vqvae, cut)
                    .unwrap();
            let token = |n: usize| (n as u32).wrapping_mul(u32::from(seed)) % 1000;
            for picture in 0..pictures {
                let row = |variant| (0..5).map(|n| token((picture * variants + variant) * 5 + n)).collect();
                let rows: Vec<Vec<u32>> = (0..variants).map(row).collect();
                writer.push(picture as u32 % 2, &rows).unwrap();
            }
            prop_assert!(!path.exists());
            writer.finish().unwrap();

            let images = pictures * variants;
            let tokens = (0..images * 5).map(|n| token(n) as i32).collect();
            let labels = (0..images).map(|image| (image / variants % 2) as i32).collect();
            let mut expected = TokenFile::new(vec![1, 2], tokens, Some(labels));
            if let Some(vqvae) = vqvae {
                expected = expected.made_by(vqvae);
            }
            prop_assert_eq!(&TokenFile::open(&path).unwrap(), &expected);
            let mapped = MappedTokens::open(&path).unwrap();
            prop_assert_eq!(mapped.vqvae(), vqvae);
            prop_assert!(Checkpoint::open(&path).unwrap().verify().is_ok());
            prop_assert_eq!((mapped.images(), mapped.variants()), (images, variants));
            prop_assert_eq!(mapped.classes(), Some(&classes[..]));
            prop_assert_eq!(mapped.cut(), cut);
            prop_assert_eq!(mapped.labels(), expected.labels());
            let rows: Vec<i32> = (0..images).flat_map(|image| mapped.row(image)).collect();
            prop_assert_eq!(&rows[..], expected.tokens());
        }
    }

    #[test]
    fn dropped_unfinished_it_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let mut writer =
            TokenWriter::create(&path, false, vec![1], 1, Vec::new(), 9, None, None).unwrap();
        writer.push(0, &[vec![7]]).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
