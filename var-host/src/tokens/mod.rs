//! The tokens file: token maps of many images, with the ladder they were made on.
//!
//! safetensors with `tokens` i32 `[N, L]` (scales in order, each row-major), optionally `labels`
//! i32 `[N]` (−1 is the null class), and metadata `ladder`, the sides of the scales joined by `_`,
//! such as `1_2_3_4_5_6_8_10_13_16`. i64 is read too. Files of ours also say which VQVAE made them
//! (`vae_digest`, `vae_source`, see [`Identity`]) and have a `checksum`.
//!
//! Made of a data set, the metadata also have `variants`, how many images (crops, mirrored or not)
//! there are of each image, one after the other; and `classes`, the names of the classes as a
//! JSON list; and `cut`, how the images were cut. Such a file may be larger than memory: [`TokenWriter`] writes it image by image,
//! [`MappedTokens`] reads single images.

mod error;
mod mapped;
mod writer;

use core::ops::Range;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::atomic_file::AtomicFile;
use crate::checkpoint::{self, Checkpoint, FormatError, Record, checksum};
use crate::model::Identity;

pub use error::{TokenFault, TokenFileError};
pub use mapped::MappedTokens;
pub use writer::TokenWriter;

/// Token maps of N images, L tokens each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    ladder: Vec<u32>,
    tokens: Vec<i32>,
    labels: Option<Vec<i32>>,
    vqvae: Option<Identity>,
}

impl TokenFile {
    /// Token maps made on `ladder`, one label an image where they are known.
    ///
    /// # Panics
    /// If a side is zero or there is none, `tokens` is not whole rows of the ladder's length, or
    /// `labels` is not as long as there are images.
    #[track_caller]
    pub fn new(ladder: Vec<u32>, tokens: Vec<i32>, labels: Option<Vec<i32>>) -> Self {
        let length = ladder_length(&ladder).expect("token file: the ladder has no or zero sides");
        assert_eq!(tokens.len() % length, 0, "token file: tokens are not rows of {length}");
        if let Some(labels) = &labels {
            assert_eq!(labels.len(), tokens.len() / length, "token file: one label an image");
        }
        Self { ladder, tokens, labels, vqvae: None }
    }

    /// With the VQVAE that made them.
    pub fn made_by(self, vqvae: Identity) -> Self {
        Self { vqvae: Some(vqvae), ..self }
    }

    /// Reads a tokens file.
    ///
    /// The ranges of tokens and labels depend on the model: see [`check`](Self::check) and
    /// [`check_labels`](Self::check_labels).
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or its shapes do not fit its ladder.
    pub fn open(path: &Path) -> Result<Self, TokenFileError> {
        let bytes = fs::read(path).map_err(|error| TokenFault::Io(error).of(path))?;
        Self::from_bytes(&bytes).map_err(|fault| fault.of(path))
    }

    /// Reads the bytes of a tokens file.
    ///
    /// # Errors
    /// As [`TokenFile::open`], without the file's name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenFault> {
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|error| unreadable(bytes, error))?;
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get("ladder"));
        let text = text.ok_or(TokenFault::NoLadder)?;
        let (ladder, length) =
            parse_ladder(text).ok_or_else(|| TokenFault::Ladder { has: text.clone() })?;
        let metadata = |key: &str| header.metadata().as_ref()?.get(key);
        checksum::verify_if_ours(bytes, metadata)?;
        let vqvae = Identity::of_vqvae_in(metadata)?;
        let tensors = SafeTensors::deserialize(bytes)?;

        let tensor = tensors.tensor("tokens")?;
        let [images, has] = *tensor.shape() else {
            let has = tensor.shape().to_vec();
            return Err(TokenFault::Rank { tensor: "tokens", wants: 2, has });
        };
        if has != length {
            return Err(TokenFault::Length { ladder: text.clone(), wants: length, has });
        }
        let tokens = integers("tokens", &tensor)?;

        let labels = match tensors.tensor("labels") {
            Err(SafeTensorError::TensorNotFound(_)) => None,
            Err(error) => return Err(error.into()),
            Ok(tensor) => {
                let [has] = *tensor.shape() else {
                    let has = tensor.shape().to_vec();
                    return Err(TokenFault::Rank { tensor: "labels", wants: 1, has });
                };
                if has != images {
                    return Err(TokenFault::Labels { wants: images, has });
                }
                Some(integers("labels", &tensor)?)
            }
        };
        Ok(Self { ladder, tokens, labels, vqvae })
    }

    /// Refuses tokens that a codebook of `vocabulary` entries does not have.
    ///
    /// # Errors
    /// [`TokenFault::Value`] for the first token outside `0..vocabulary`.
    pub fn check(&self, vocabulary: usize) -> Result<(), TokenFault> {
        check_range("tokens", &self.tokens, 0..vocabulary as i64)
    }

    /// Refuses labels that a model of `classes` classes does not have; −1 is the null class.
    ///
    /// # Errors
    /// [`TokenFault::Value`] for the first label outside `-1..classes`.
    pub fn check_labels(&self, classes: usize) -> Result<(), TokenFault> {
        check_range("labels", self.labels().unwrap_or_default(), -1..classes as i64)
    }

    /// Writes the file, under a temporary name until it is whole.
    ///
    /// # Errors
    /// If the system cannot write, or the file exists and `overwrite` is false.
    pub fn save(&self, path: &Path, overwrite: bool) -> Result<(), TokenFileError> {
        let mut file = AtomicFile::create(path, overwrite)
            .map_err(|error| TokenFault::from(error).of(path))?;
        file.write_all(&self.to_bytes()).map_err(|error| TokenFault::Io(error).of(path))?;
        file.commit().map_err(|error| TokenFault::from(error).of(path))
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let record = |name: &str, shape: Vec<usize>, values: &'_ [i32]| {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let bytes = Box::new(move || Ok(Cow::Owned(bytes)));
            Record { name: name.to_owned(), dtype: checkpoint::Dtype::I32, shape, bytes }
        };
        let shape = vec![self.images(), self.tokens_per_image()];
        let mut records = vec![record("tokens", shape, &self.tokens)];
        records.extend(self.labels().map(|labels| record("labels", vec![labels.len()], labels)));
        let mut metadata = BTreeMap::from([("ladder".to_owned(), ladder_text(&self.ladder))]);
        let vqvae = self.vqvae.iter().flat_map(Identity::as_vqvae);
        metadata.extend(vqvae.map(|(key, text)| (key.to_owned(), text)));
        checkpoint::to_bytes(records, metadata).expect("two names, and integers as they are")
    }

    /// The sides of the scales.
    pub fn ladder(&self) -> &[u32] {
        &self.ladder
    }

    /// How many images, N.
    pub fn images(&self) -> usize {
        self.tokens.len() / self.tokens_per_image()
    }

    /// How many tokens an image has, L: the sum of the ladder's squares.
    pub fn tokens_per_image(&self) -> usize {
        ladder_length(&self.ladder).expect("the ladder was checked")
    }

    /// All tokens, `[N, L]`.
    pub fn tokens(&self) -> &[i32] {
        &self.tokens
    }

    /// The labels, `[N]`, where they are known.
    pub fn labels(&self) -> Option<&[i32]> {
        self.labels.as_deref()
    }

    /// The VQVAE that made them, where it is known.
    pub fn vqvae(&self) -> Option<Identity> {
        self.vqvae
    }
}

/// Why `bytes` are no safetensors file: the kind of file that they are instead, if it is known.
fn unreadable(bytes: &[u8], error: SafeTensorError) -> TokenFault {
    match Checkpoint::from_bytes(bytes) {
        Err(FormatError::Safetensors { .. }) | Ok(_) => error.into(),
        Err(kind) => kind.into(),
    }
}

/// The sum of the squares; `None` without sides, with a zero side, or on overflow.
fn ladder_length(ladder: &[u32]) -> Option<usize> {
    let square = |&side: &u32| (side > 0).then(|| u64::from(side) * u64::from(side));
    let sum = ladder.iter().try_fold(0_u64, |sum, side| sum.checked_add(square(side)?))?;
    usize::try_from(sum).ok().filter(|&sum| sum > 0)
}

/// The sides and the sum of their squares. Only the one way of writing a ladder is taken.
fn parse_ladder(text: &str) -> Option<(Vec<u32>, usize)> {
    let ladder: Vec<u32> = text.split('_').map(|side| side.parse().ok()).collect::<Option<_>>()?;
    let length = ladder_length(&ladder)?;
    (ladder_text(&ladder) == text).then_some((ladder, length))
}

fn ladder_text(ladder: &[u32]) -> String {
    ladder.iter().map(u32::to_string).collect::<Vec<_>>().join("_")
}

fn integers(tensor: &'static str, view: &TensorView<'_>) -> Result<Vec<i32>, TokenFault> {
    let data = view.data();
    match view.dtype() {
        Dtype::I32 => Ok(data.as_chunks().0.iter().copied().map(i32::from_le_bytes).collect()),
        Dtype::I64 => {
            let values = data.as_chunks().0.iter().copied().map(i64::from_le_bytes);
            let narrow = |(index, has): (usize, i64)| {
                let wants = i64::from(i32::MIN)..i64::from(i32::MAX) + 1;
                i32::try_from(has).map_err(|_| TokenFault::Value { tensor, index, wants, has })
            };
            values.enumerate().map(narrow).collect()
        }
        has => Err(TokenFault::Type { tensor, has: format!("{has:?}") }),
    }
}

fn check_range(tensor: &'static str, values: &[i32], wants: Range<i64>) -> Result<(), TokenFault> {
    match values.iter().position(|&value| !wants.contains(&i64::from(value))) {
        None => Ok(()),
        Some(index) => {
            Err(TokenFault::Value { tensor, index, wants, has: i64::from(values[index]) })
        }
    }
}

#[cfg(test)]
mod tests;
