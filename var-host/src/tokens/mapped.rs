//! A tokens file that is mapped into memory: for one that is larger than that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{TokenFault, TokenFileError, check_range, parse_ladder};
use crate::checkpoint::{Checkpoint, CheckpointError, Digest, Dtype, Tensor, digest};
use crate::images::CropSettings;
use crate::model::Identity;

/// The token maps of N images in a file; of each image `variants` images, one after the other.
#[derive(Debug)]
pub struct MappedTokens {
    path: PathBuf,
    file: Checkpoint,
    ladder: Vec<u32>,
    length: usize,
    images: usize,
    variants: usize,
    labels: Option<Vec<i32>>,
    classes: Option<Vec<String>>,
    cut: Option<CropSettings>,
    vqvae: Option<Identity>,
}

impl MappedTokens {
    /// Maps a tokens file; of its tokens none is read.
    ///
    /// # Errors
    /// If the file cannot be mapped, is damaged, or its shapes or metadata contradict each other.
    pub fn open(path: &Path) -> Result<Self, TokenFileError> {
        let fault = |fault: TokenFault| fault.of(path);
        let file = Checkpoint::open(path).map_err(|error| match error {
            CheckpointError::Io { source, .. } => fault(TokenFault::Io(source)),
            CheckpointError::Format { source, .. } => fault(TokenFault::Format(source)),
        })?;
        Self::read(path.to_path_buf(), file).map_err(fault)
    }

    fn read(path: PathBuf, file: Checkpoint) -> Result<Self, TokenFault> {
        let metadata = file.metadata();
        let text = metadata.get("ladder").ok_or(TokenFault::NoLadder)?;
        let (ladder, length) =
            parse_ladder(text).ok_or_else(|| TokenFault::Ladder { has: text.clone() })?;
        let tokens = tensor(&file, "tokens", 2)?.ok_or(TokenFault::Missing { tensor: "tokens" })?;
        let (images, has) = (tokens.shape[0], tokens.shape[1]);
        if has != length {
            return Err(TokenFault::Length { ladder: text.clone(), wants: length, has });
        }
        let variants = variants(metadata, images)?;
        let classes = classes(metadata)?;
        let cut = cut(metadata)?;
        let vqvae = Identity::of_vqvae_in(|key| metadata.get(key))?;
        let labels = match tensor(&file, "labels", 1)? {
            Some(labels) if labels.shape[0] != images => {
                return Err(TokenFault::Labels { wants: images, has: labels.shape[0] });
            }
            Some(labels) => Some(narrow(labels)?),
            None => None,
        };
        for (picture, labels) in labels.iter().flat_map(|l| l.chunks_exact(variants)).enumerate() {
            if let Some(variant) = labels.iter().position(|label| *label != labels[0]) {
                let (index, wants) = (picture * variants + variant, labels[0]);
                return Err(TokenFault::LabelOfVariant { index, wants, has: labels[variant] });
            }
        }
        Ok(Self { path, file, ladder, length, images, variants, labels, classes, cut, vqvae })
    }

    /// Compares the file with its checksum, if it has one. Reads the whole file.
    ///
    /// # Errors
    /// [`FormatError::Checksum`](crate::checkpoint::FormatError::Checksum) if it has changed since it was written.
    pub fn verify(&self) -> Result<(), TokenFileError> {
        let verified = self.file.verify_if_ours();
        verified.map(|_| ()).map_err(|fault| TokenFault::Format(fault).of(&self.path))
    }

    /// The digest of tokens and labels. Reads the whole file.
    pub fn digest(&self) -> Digest {
        let labels = self.file.tensor("labels").map(|labels| ("labels", labels));
        let tensors: Vec<_> = labels.into_iter().chain([("tokens", self.tokens())]).collect();
        digest::of_tensors(&tensors)
    }

    /// The VQVAE that made them, where it is known.
    pub fn vqvae(&self) -> Option<Identity> {
        self.vqvae
    }

    /// Refuses tokens that a codebook of `vocabulary` entries does not have. Reads the whole file.
    ///
    /// # Errors
    /// [`TokenFault::Value`] for the first token outside `0..vocabulary`.
    pub fn check(&self, vocabulary: usize) -> Result<(), TokenFileError> {
        let (tokens, wants) = (self.tokens(), 0..vocabulary as i64);
        let checked = match tokens.as_i32() {
            Some(tokens) => check_range("tokens", tokens, wants),
            None => {
                let other = |(_, has): &(usize, i64)| !wants.contains(has);
                match wide(tokens, 0..tokens.len()).enumerate().find(other) {
                    Some((index, has)) => {
                        Err(TokenFault::Value { tensor: "tokens", index, wants, has })
                    }
                    None => Ok(()),
                }
            }
        };
        checked.map_err(|fault| fault.of(&self.path))
    }

    /// Refuses labels outside `0..classes`.
    ///
    /// # Errors
    /// If there are no labels, and [`TokenFault::Value`] for the first that is outside.
    pub fn check_labels(&self, classes: usize) -> Result<(), TokenFileError> {
        let labels = self.labels().ok_or(TokenFault::Missing { tensor: "labels" });
        let checked = labels.and_then(|labels| check_range("labels", labels, 0..classes as i64));
        checked.map_err(|fault| fault.of(&self.path))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The sides of the scales.
    pub fn ladder(&self) -> &[u32] {
        &self.ladder
    }

    /// How many images, N.
    pub fn images(&self) -> usize {
        self.images
    }

    /// How many images there are of each image.
    pub fn variants(&self) -> usize {
        self.variants
    }

    /// How many tokens an image has, L.
    pub fn tokens_per_image(&self) -> usize {
        self.length
    }

    /// The labels, `[N]`, where they are known.
    pub fn labels(&self) -> Option<&[i32]> {
        self.labels.as_deref()
    }

    /// How the images were cut, where it is known.
    pub fn cut(&self) -> Option<CropSettings> {
        self.cut
    }

    /// The names of the classes, where they are known.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// The L tokens of an image.
    ///
    /// # Panics
    /// If there are not so many images.
    #[track_caller]
    pub fn row(&self, image: usize) -> impl Iterator<Item = i32> + '_ {
        assert!(image < self.images, "mapped tokens: image {image} of {}", self.images);
        let start = image * self.length;
        wide(self.tokens(), start..start + self.length).map(|token| token as i32)
    }

    fn tokens(&self) -> Tensor<'_> {
        self.file.tensor("tokens").expect("it was there when the file was opened")
    }
}

/// The tensor called `name` if there is one; it must be of integers and have so many dimensions.
fn tensor<'a>(
    file: &'a Checkpoint,
    name: &'static str,
    dimensions: usize,
) -> Result<Option<Tensor<'a>>, TokenFault> {
    let Some(tensor) = file.tensor(name) else { return Ok(None) };
    if tensor.shape.len() != dimensions {
        let has = tensor.shape.to_vec();
        return Err(TokenFault::Rank { tensor: name, wants: dimensions, has });
    }
    if !matches!(tensor.dtype, Dtype::I32 | Dtype::I64) {
        return Err(TokenFault::Type { tensor: name, has: tensor.dtype.to_string() });
    }
    Ok(Some(tensor))
}

/// Some elements of a tensor of integers.
fn wide(tensor: Tensor<'_>, range: core::ops::Range<usize>) -> impl Iterator<Item = i64> + '_ {
    let short = tensor.as_i32().map(|values| &values[range.clone()]).unwrap_or_default();
    let long = tensor.as_i64().map(|values| &values[range]).unwrap_or_default();
    short.iter().map(|value| i64::from(*value)).chain(long.iter().copied())
}

fn narrow(labels: Tensor<'_>) -> Result<Vec<i32>, TokenFault> {
    let narrow = |(index, has)| {
        let wants = i64::from(i32::MIN)..i64::from(i32::MAX) + 1;
        i32::try_from(has).map_err(|_| TokenFault::Value { tensor: "labels", index, wants, has })
    };
    wide(labels, 0..labels.len()).enumerate().map(narrow).collect()
}

fn variants(metadata: &BTreeMap<String, String>, images: usize) -> Result<usize, TokenFault> {
    let Some(text) = metadata.get("variants") else { return Ok(1) };
    match text.parse() {
        Ok(variants @ 1..) if images.is_multiple_of(variants) => Ok(variants),
        _ => Err(TokenFault::Variants { images, has: text.clone() }),
    }
}

fn cut(metadata: &BTreeMap<String, String>) -> Result<Option<CropSettings>, TokenFault> {
    let parse = |text: &String| {
        serde_json::from_str(text).map_err(|_| TokenFault::CropSettings { has: text.clone() })
    };
    metadata.get("cut").map(parse).transpose()
}

fn classes(metadata: &BTreeMap<String, String>) -> Result<Option<Vec<String>>, TokenFault> {
    let parse = |text: &String| {
        serde_json::from_str(text).map_err(|_| TokenFault::Classes { has: text.clone() })
    };
    metadata.get("classes").map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;

    use proptest::prelude::*;
    use safetensors::Dtype as Kind;
    use safetensors::tensor::TensorView;

    use super::super::TokenWriter;
    use super::*;

    fn bytes(kind: Kind, values: &[i64]) -> Vec<u8> {
        let bytes = |value: &i64| match kind {
            Kind::I64 => value.to_le_bytes().to_vec(),
            _ => (*value as i32).to_le_bytes().to_vec(),
        };
        values.iter().flat_map(bytes).collect()
    }

    /// Opens a file of these tokens on the ladder 1, these labels and these metadata.
    fn open(
        kind: Kind,
        tokens: &[i64],
        labels: &[i64],
        metadata: &[(&str, &str)],
    ) -> Result<MappedTokens, String> {
        let data = [bytes(kind, tokens), bytes(kind, labels)];
        let view = |shape, data| TensorView::new(kind, shape, data).unwrap();
        let tensors = [
            ("tokens", view(vec![tokens.len(), 1], &data[0])),
            ("labels", view(vec![labels.len()], &data[1])),
        ];
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut metadata: HashMap<_, _> = metadata.iter().map(text).collect();
        metadata.entry("ladder".to_owned()).or_insert_with(|| "1".to_owned());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        fs::write(&path, safetensors::serialize(tensors, Some(metadata)).unwrap()).unwrap();
        MappedTokens::open(&path).map_err(|error| error.fault.to_string())
    }

    #[test]
    fn faults_name_both_numbers() {
        let fault = |tokens: &[i64], labels: &[i64], metadata: &[(&str, &str)]| {
            open(Kind::I32, tokens, labels, metadata).unwrap_err()
        };
        assert_eq!(fault(&[1, 2], &[0], &[]), "labels: wants 2, one for each image, file has 1");
        assert_eq!(
            fault(&[1], &[0], &[("ladder", "1_2")]),
            "tokens: wants 5 a row for the ladder 1_2, file has 1"
        );
        for has in ["2", "0", "-1", "three", ""] {
            let expected = format!(
                "variants: wants a number from 1 that divides the 3 images, file has {has:?}"
            );
            assert_eq!(fault(&[1, 2, 3], &[0, 0, 0], &[("variants", has)]), expected);
        }
        assert_eq!(
            fault(&[1, 2, 3, 4], &[0, 0, 5, 6], &[("variants", "2")]),
            "labels[3]: wants 5 as the image's first variant has, file has 6"
        );
        assert_eq!(
            fault(&[1], &[0], &[("classes", "cat")]),
            "classes: wants a JSON list of names, file has \"cat\""
        );
        let wide = open(Kind::I64, &[1], &[1 << 40], &[]).unwrap_err();
        assert_eq!(wide, "labels[0]: wants -2147483648..2147483648, file has 1099511627776");
        let floats = open(Kind::F32, &[1], &[1], &[]).unwrap_err();
        assert_eq!(floats, "tokens: wants I32 or I64, file has F32");
    }

    #[test]
    fn ranges_are_checked() {
        for kind in [Kind::I32, Kind::I64] {
            let file = open(kind, &[0, 9, 3], &[0, 1, 1], &[]).unwrap();
            file.check(10).unwrap();
            file.check_labels(2).unwrap();
            let fault = file.check(9).unwrap_err().fault.to_string();
            assert_eq!(fault, "tokens[1]: wants 0..9, file has 9");
            let fault = file.check_labels(1).unwrap_err().fault.to_string();
            assert_eq!(fault, "labels[1]: wants 0..1, file has 1");
        }
        let wide = open(Kind::I64, &[(1 << 32) + 1], &[-1], &[]).unwrap();
        let fault = wide.check(10).unwrap_err().fault.to_string();
        assert_eq!(fault, "tokens[0]: wants 0..10, file has 4294967297");
        let fault = wide.check_labels(1).unwrap_err().fault.to_string();
        assert_eq!(fault, "labels[0]: wants 0..1, file has -1");
    }

    proptest! {
        #[test]
        fn damaged_files_do_not_panic(
            hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("tokens");
            let classes = vec!["a".to_owned()];
            let mut writer = TokenWriter::create(&path, false, vec![1, 2], 2, classes, 3, None, None).unwrap();
            for _ in 0..3 {
                writer.push(0, &[vec![1; 5], vec![2; 5]]).unwrap();
            }
            writer.finish().unwrap();
            let mut bytes = fs::read(&path).unwrap();
            for (index, byte) in hits {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            fs::write(&path, bytes).unwrap();
            if let Ok(file) = MappedTokens::open(&path) {
                let rows = (0..file.images()).flat_map(|image| file.row(image));
                prop_assert_eq!(rows.count(), file.images() * file.tokens_per_image());
                prop_assert!(file.images().is_multiple_of(file.variants()));
                let _ = (file.check(9), file.check_labels(9));
            }
        }
    }

    /// Audit 2: a run that is resumed compares this.
    #[test]
    fn digest_is_of_tokens_and_labels() {
        let digest =
            |tokens: &[i64], labels: &[i64]| open(Kind::I32, tokens, labels, &[]).unwrap().digest();
        let whole = digest(&[1, 2], &[0, 1]);
        assert_eq!(whole, digest(&[1, 2], &[0, 1]));
        assert_ne!(whole, digest(&[2, 1], &[0, 1]), "other tokens");
        assert_ne!(whole, digest(&[1, 2], &[1, 0]), "other labels");
    }

    #[test]
    fn files_that_are_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let fault = |path: &Path| MappedTokens::open(path).unwrap_err().to_string();
        let path = folder.path().join("text");
        assert!(fault(&path).starts_with(&path.display().to_string()));
        fs::write(&path, "no tokens at all").unwrap();
        assert!(fault(&path).starts_with(&path.display().to_string()), "{}", fault(&path));
    }
}
