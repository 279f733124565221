//! Digest of one half of a model, kept in its file or computed from its tensors.

use std::borrow::Cow;

use super::convert::is_table;
use super::identity::{Identity, SOURCES};
use super::part::{ModelPart, PREFIXES};
use crate::checkpoint::digest::{self, PARTS};
use crate::checkpoint::quantize::SCALE_SUFFIX;
use crate::checkpoint::{Digest, Dtype, Tensor};

impl ModelPart {
    /// Whether the file has a checksum that was compared and holds.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// The digest of this half: from the metadata of a file of ours with a valid checksum, else
    /// computed on the first call. The same in every file and under every prefix.
    pub fn identity(&self) -> Identity {
        *self.identity.get_or_init(|| {
            let kept = |key: &str| self.checkpoint().metadata().get(key)?.parse().ok();
            let (key, prefix) = PARTS[self.half];
            let own = self.verified && self.prefix == prefix;
            let digest = own.then(|| kept(key)).flatten().unwrap_or_else(|| self.digest());
            let source = (self.prefix == PREFIXES[self.half]).then(|| kept(SOURCES[self.half]));
            Identity { digest, source: source.flatten().unwrap_or(digest) }
        })
    }

    /// The digest, computed from the tensors.
    pub fn digest(&self) -> Digest {
        let mut tensors = Vec::new();
        for wanted in &self.wanted {
            let Some(stored) = self.tensor(wanted) else { continue };
            let as_stored = is_table(wanted) && stored.dtype != Dtype::F64;
            let tensor = match self.widened.get(wanted) {
                Some(values) if !as_stored => {
                    let bytes = bytemuck::cast_slice(values);
                    Tensor { dtype: Dtype::F32, shape: stored.shape, bytes }
                }
                _ => stored,
            };
            tensors.push((Cow::Borrowed(wanted.as_str()), tensor));
            let scales = format!("{wanted}{SCALE_SUFFIX}");
            if tensor.dtype == Dtype::I8
                && let Some(found) = self.tensor(&scales)
            {
                tensors.push((Cow::Owned(scales), found));
            }
        }
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (&**name, *tensor)).collect();
        digest::of_tensors(&tensors)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use super::*;
    use crate::checkpoint::quantize::WeightDtype;
    use crate::checkpoint::{Checkpoint, CheckpointError, FormatError};
    use crate::model::convert::convert;
    use crate::model::weights::tests::configs;
    use crate::model::weights::{transformer_tensors, vqvae_tensors};
    use crate::model::{Hints, ModelError, Weights};
    use safetensors::tensor::TensorView;

    /// Halves of the numbers of 8 bits, which every type but q8 holds.
    fn values(name: &str, length: usize) -> impl Iterator<Item = f32> {
        let start: u32 = name.bytes().fold(7, |sum, byte| sum * 31 % 65_521 + u32::from(byte));
        (0..length as u32).map(move |i| ((start + i * 37) % 255) as f32 / 64.0 - 2.0)
    }

    /// A file of the halves under these prefixes, in `F64`, `F32` or `F16`, and a buffer.
    fn file(prefixes: [Option<&str>; 2], dtype: safetensors::Dtype) -> Vec<u8> {
        let (var, vae) = configs();
        let mut tensors = HashMap::new();
        for (prefix, wanted) in
            prefixes.into_iter().zip([transformer_tensors(var), vqvae_tensors(vae)])
        {
            for wanted in wanted.into_iter().filter(|_| prefix.is_some()) {
                let values = values(&wanted.name, wanted.shape.iter().product());
                let bytes: Vec<u8> = match dtype {
                    safetensors::Dtype::F64 => {
                        values.flat_map(|x| f64::from(x).to_le_bytes()).collect()
                    }
                    safetensors::Dtype::F32 => values.flat_map(f32::to_le_bytes).collect(),
                    _ => values.flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect(),
                };
                let name = format!("{}{}", prefix.unwrap(), wanted.name);
                tensors.insert(name, (dtype, wanted.shape, bytes));
            }
        }
        if let Some(prefix) = prefixes[1] {
            let name = format!("{prefix}quantize.ema_vocab_hit_SV");
            tensors.insert(name, (safetensors::Dtype::F32, vec![1], vec![0, 0, 1, 2]));
        }
        let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    fn open(file: &[u8]) -> Weights {
        let hints = Hints { ladder: Some(configs().0.ladder), heads: Some(3), ..Hints::default() };
        Weights::of(Checkpoint::from_bytes(file).unwrap(), "file".to_owned(), &hints).unwrap()
    }

    fn identities(weights: &Weights) -> [Identity; 2] {
        weights.identities().map(Option::unwrap)
    }

    fn vqvae(weights: &Weights) -> Identity {
        weights.identities()[1].unwrap()
    }

    // K01, S02
    #[test]
    fn digest_is_the_same_in_every_file_and_under_every_prefix() {
        use safetensors::Dtype::{F16, F32, F64};
        let whole = open(&file([Some("var."), Some("vae.")], F32));
        let [var, vae] = identities(&whole);
        assert_ne!(var, vae);
        for dtype in [F32, F64] {
            assert_eq!(vqvae(&open(&file([None, Some("")], dtype))), vae, "alone, {dtype:?}");
            assert_eq!(vqvae(&open(&file([None, Some("trainer.vae_local.")], dtype))), vae);
            let other = file([Some("module."), Some("trainer.vae_local.")], dtype);
            assert_eq!(identities(&open(&other)), [var, vae], "{dtype:?}");
        }
        assert_ne!(vqvae(&open(&file([None, Some("")], F16))), vae, "another precision");
        let mut changed = file([None, Some("")], F32);
        let last = changed.len() - 4;
        changed[last] ^= 1;
        assert_ne!(vqvae(&open(&changed)), vae);
    }

    fn converted(weights: &Weights, path: &Path, precision: WeightDtype) -> Weights {
        convert(weights, path, precision, Vec::new(), true, &|_, _| ()).unwrap();
        Weights::open(path, &Hints::default()).unwrap()
    }

    #[test]
    fn converted_files_keep_their_own_digest_and_their_sources() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let source = open(&file([Some("t."), Some("vae.")], safetensors::Dtype::F32));
        let root = identities(&source);
        for precision in [WeightDtype::F32, WeightDtype::F16, WeightDtype::Bf16, WeightDtype::Q8] {
            let weights = converted(&source, &path, precision);
            let kept = identities(&weights);
            let parts =
                [&weights.transformer.as_ref().unwrap().0, &weights.vqvae.as_ref().unwrap().0];
            for (half, part) in parts.into_iter().enumerate() {
                assert!(part.verified && part.checkpoint().metadata().contains_key(PARTS[half].0));
                assert_eq!(kept[half].digest, part.digest(), "{precision:?}: as computed");
                assert_eq!(kept[half].source, root[half].digest, "{precision:?}");
                assert_eq!(kept[half] == root[half], precision == WeightDtype::F32);
                assert!(kept[half].has_source_of(&root[half]));
            }
            // Once more in another precision: the source is still the first.
            let again = converted(&weights, &folder.path().join("again"), WeightDtype::F16);
            assert_eq!(identities(&again).map(|kept| kept.source), root.map(|root| root.digest));
        }
        let half = open(&file([Some("t."), Some("vae.")], safetensors::Dtype::F16));
        assert_eq!(identities(&converted(&half, &path, WeightDtype::F16)), identities(&half));
    }

    #[test]
    fn damaged_files_are_refused_and_digests_of_unverified_ones_computed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let source = open(&file([Some("t."), Some("vae.")], safetensors::Dtype::F32));
        drop(converted(&source, &path, WeightDtype::F32));
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 4;
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let refused = Weights::open(&path, &Hints::default());
        let checksum = matches!(
            refused,
            Err(ModelError::Damaged { source: FormatError::Checksum { .. }, .. })
        );
        assert!(checksum);
        let taken = Weights::open(&path, &Hints { no_verify: true, ..Hints::default() }).unwrap();
        assert_ne!(identities(&taken), identities(&source));
        let halves = Weights::open_halves(None, Some(&path), &Hints::default());
        assert!(matches!(halves, Err(ModelError::Damaged { .. })));
        let missing = Weights::open(&folder.path().join("none"), &Hints::default());
        assert!(matches!(missing, Err(ModelError::Checkpoint(CheckpointError::Io { .. }))));
    }
}
