//! One half of a model in its file: tensors by name, checked, widened where the kernel wants `f32`.

use core::fmt;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use half::f16;
use var_kernel::cpu::matrix::Q8_BLOCK;
use var_kernel::cpu::{Cpu, Matrix};
use var_kernel::model::ConfigError;
use var_kernel::model::weights::Source;

use super::listing::Wanted;
use super::names::{self, Match};
use super::weight_limit::too_large;
use super::{Identity, ModelError, family};
use crate::checkpoint::digest::{PARTS, is_buffer};
use crate::checkpoint::quantize::SCALE_SUFFIX;
use crate::checkpoint::{Checkpoint, Dtype, Tensor};

/// One half of a model in its file: the tensors under a prefix.
pub struct ModelPart {
    checkpoint: Arc<Checkpoint>,
    file: String,
    /// Its number in [`MARKS`].
    pub(super) half: usize,
    pub(super) prefix: String,
    /// The names in the file by those of the model: without prefix and wrappers' segments.
    names: BTreeMap<String, String>,
    /// Whether the file has a checksum, and it holds.
    pub(super) verified: bool,
    /// The names of the model's tensors.
    pub(super) wanted: Vec<String>,
    /// Tensors wanted as `f32` that the file holds in another type.
    pub(super) widened: HashMap<String, Vec<f32>>,
    pub(super) identity: OnceLock<Identity>,
    /// The training losses beside it: the first segment of their names and how many there are.
    losses: BTreeMap<String, usize>,
}

/// A tensor that only a transformer has, and one that only a VQVAE has.
pub(super) const MARKS: [(&str, &str); 2] =
    [("transformer", "pos_1LC"), ("VQVAE", "quantize.embedding.weight")];

/// Prefixes of the two in a model file.
pub(super) const PREFIXES: [&str; 2] = [PARTS[0].1, PARTS[1].1];

/// First segments of names that losses have beside a VQVAE while it is trained.
const LOSSES: [&str; 6] =
    ["loss", "discriminator", "disc", "lpips", "perceptual_loss", "perceptual"];

/// A half that was found, and whether by the part asked for.
pub(super) struct FoundPart {
    pub(super) part: ModelPart,
    pub(super) was_asked_for: bool,
}

impl FoundPart {
    /// With whether the file has a checksum that holds.
    pub(super) fn verified(mut self, verified: bool) -> Self {
        self.part.verified = verified;
        self
    }
}

impl ModelPart {
    /// The half number `half` of [`MARKS`] in a file, if it is there: under whatever prefix its mark
    /// is found; where there are several, under the one that `asked` names.
    pub(super) fn find(
        checkpoint: &Arc<Checkpoint>,
        file: &str,
        half: usize,
        asked: Option<&str>,
    ) -> Result<Option<FoundPart>, ModelError> {
        let (part, mark) = MARKS[half];
        let all = names::prefixes(checkpoint, mark);
        let of_match =
            |prefix: &&String| asked.map_or(Match::None, |part| names::matches(prefix, part));
        let best = all.iter().map(|prefix| of_match(&prefix)).max().unwrap_or(Match::None);
        let was_asked_for = best != Match::None;
        let mut chosen: Vec<&String> = if was_asked_for {
            all.iter().filter(|prefix| of_match(prefix) == best).collect()
        } else {
            let of_training = |prefix: &&String| names::is_training_state(checkpoint, prefix);
            all.iter().filter(|prefix| !of_training(prefix)).collect()
        };
        if chosen.len() > 1 {
            let parts = chosen.iter().map(|prefix| format!("{:?}", prefix.trim_end_matches('.')));
            let parts = parts.collect::<Vec<_>>().join(", --part ");
            return Err(ModelError::SeveralParts { file: file.to_owned(), part, parts });
        }
        let Some(prefix) = chosen.pop() else { return Ok(None) };
        family::refuse(checkpoint, file, prefix, half)?;
        let part = Self::new(checkpoint, file, half, prefix.clone())?;
        Ok(Some(FoundPart { part, was_asked_for }))
    }

    /// The half number `half` under `prefix`, without tensors of other parts or of training.
    fn new(
        checkpoint: &Arc<Checkpoint>,
        file: &str,
        half: usize,
        prefix: String,
    ) -> Result<Self, ModelError> {
        let prefixes = MARKS.iter().flat_map(|(_, mark)| names::prefixes(checkpoint, mark));
        let nested = |other: &String| other.len() > prefix.len() && other.starts_with(&prefix);
        let others: Vec<String> = prefixes.filter(nested).collect();
        let (mut names, mut losses) = (BTreeMap::new(), BTreeMap::new());
        let unreadable = checkpoint.unreadable().keys().map(String::as_str);
        for full in checkpoint.tensors().map(|tensor| tensor.name).chain(unreadable) {
            let Some(rest) = full.strip_prefix(prefix.as_str()) else { continue };
            let is_of_another = others.iter().any(|other| full.starts_with(other.as_str()));
            if is_of_another || names::is_of_optimizer(rest) {
                continue;
            }
            let name = names::unwrapped(rest);
            let first = name.split('.').next().unwrap_or_default();
            if half == 1 && name.len() > first.len() && LOSSES.contains(&first) {
                *losses.entry(first.to_owned()).or_default() += 1;
                continue;
            }
            let full = full.to_owned();
            if let Some(second) = names.insert(name, full.clone()) {
                return Err(ModelError::SameTensor {
                    file: file.to_owned(),
                    first: second,
                    second: full,
                });
            }
        }
        Ok(Self {
            checkpoint: Arc::clone(checkpoint),
            file: file.to_owned(),
            half,
            prefix,
            names,
            verified: false,
            wanted: Vec::new(),
            widened: HashMap::new(),
            identity: OnceLock::new(),
            losses,
        })
    }

    /// The file's name, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The prefix of its tensors, without the last dot.
    pub(super) fn name(&self) -> &str {
        self.prefix.trim_end_matches('.')
    }

    /// The file.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Training losses beside it, which are passed over: the first segment of their names and how many
    /// tensors they have.
    pub fn losses(&self) -> &BTreeMap<String, usize> {
        &self.losses
    }

    /// Whether the tensor `name` is there.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// The tensor `name`, prefix left out.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        self.checkpoint.tensor(self.names.get(name)?)
    }

    /// The name that the tensor `name` has in the file, or would have.
    pub(super) fn full_name(&self, name: &str) -> String {
        let found = self.names.get(name).cloned();
        found.unwrap_or_else(|| format!("{}{name}", self.prefix))
    }

    /// Why the tensor `name` cannot be had.
    pub(super) fn absent(&self, name: &str) -> ModelError {
        let (file, tensor) = (self.file.clone(), self.full_name(name));
        match self.checkpoint.unreadable().get(&tensor) {
            Some(kind) => ModelError::Unreadable { file, tensor, kind: kind.clone() },
            None => ModelError::Missing { file, tensor },
        }
    }

    /// The weight of the greatest size: the tensor's name in the file, and its value.
    pub(crate) fn largest_weight(&self) -> Option<(String, f32)> {
        let largest = self.wanted.iter().filter_map(|name| {
            let values = self.tensor(name)?.to_f32();
            let value = values.into_iter().max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
            Some((self.full_name(name), value))
        });
        largest.max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs()))
    }

    /// How many of `{before}0{after}`, `{before}1{after}`, … there are, one after the other.
    pub(super) fn count(&self, before: &str, after: &str) -> usize {
        (0..).take_while(|number| self.contains(&format!("{before}{number}{after}"))).count()
    }

    /// The dimensions of the tensor `name`, of which there must be N.
    pub(super) fn dims<const N: usize>(&self, name: &str) -> Result<[usize; N], ModelError> {
        let full = self.full_name(name);
        let info = self.checkpoint.info(&full);
        let Some(info) = info else { return Err(self.absent(name)) };
        info.shape.try_into().map_err(|_| ModelError::Rank {
            file: self.file.clone(),
            tensor: full,
            wants: N,
            has: info.shape.to_vec(),
        })
    }

    /// The integers of the tensor `name`, if it is there.
    pub(super) fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, ModelError> {
        let Some(tensor) = self.tensor(name) else { return Ok(None) };
        match tensor.to_i64() {
            Some(integers) => Ok(Some(integers)),
            None => Err(ModelError::ElementType {
                file: self.file.clone(),
                tensor: self.full_name(name),
                has: tensor.dtype,
            }),
        }
    }

    pub(super) fn config_error(&self, source: impl Into<ConfigError>) -> ModelError {
        ModelError::Config { file: self.file.clone(), source: source.into() }
    }

    /// Checks that the file holds the `wanted` tensors and nothing else, all finite and none above
    /// [`LARGEST_WEIGHT`](super::weight_limit::LARGEST_WEIGHT); widens those that are used as `f32`.
    pub(super) fn prepare(&mut self, wanted: &[Wanted]) -> Result<(), ModelError> {
        let mut widened = HashMap::new();
        for wanted in wanted {
            let (file, name) = (|| self.file.clone(), self.full_name(&wanted.name));
            let Some(tensor) = self.tensor(&wanted.name) else {
                return Err(self.absent(&wanted.name));
            };
            if tensor.shape != wanted.shape {
                let (wants, has) = (wanted.shape.clone(), tensor.shape.to_vec());
                return Err(ModelError::Shape { file: file(), tensor: name, wants, has });
            }
            let narrowed;
            let numbers = match self.stored(&wanted.name, tensor)? {
                Some(matrix) => matrix,
                None => {
                    narrowed = tensor.to_f32();
                    Matrix::F32(&narrowed)
                }
            };
            if let Some((index, value)) = too_large(numbers) {
                let (file, tensor) = (file(), name);
                return Err(match value.is_finite() {
                    true => ModelError::TooLarge { file, tensor, index, value },
                    false => ModelError::NotFinite { file, tensor, index, value },
                });
            }
            let as_it_is = matches!(numbers, Matrix::F32(_)) || wanted.matrix;
            if tensor.dtype == Dtype::F64 || !as_it_is {
                let values = (0..numbers.len()).map(|index| numbers.at(index)).collect();
                widened.insert(wanted.name.clone(), values);
            }
        }
        self.refuse_unknown(wanted)?;
        self.wanted = wanted.iter().map(|wanted| wanted.name.clone()).collect();
        self.widened = widened;
        Ok(())
    }

    /// Refuses tensors under the prefix that are neither wanted nor known buffers.
    fn refuse_unknown(&self, wanted: &[Wanted]) -> Result<(), ModelError> {
        let known: HashSet<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
        for (name, full) in &self.names {
            // Of other numbers than q8's (FP8 with a factor, say) a scale is not applied.
            let is_q8 = |name: &str| self.tensor(name).is_some_and(|of| of.dtype == Dtype::I8);
            let scales = name
                .strip_suffix(SCALE_SUFFIX)
                .is_some_and(|name| known.contains(name) && is_q8(name));
            let buffer = is_buffer(name);
            if known.contains(name.as_str()) || scales || buffer {
                continue;
            }
            let has = self.checkpoint.info(full).map_or_else(Vec::new, |info| info.shape.to_vec());
            return Err(ModelError::Unknown { file: self.file.clone(), tensor: full.clone(), has });
        }
        Ok(())
    }

    /// The tensor as the kernel reads it; none in double precision, which must be narrowed first.
    fn stored<'a>(
        &'a self,
        name: &str,
        tensor: Tensor<'a>,
    ) -> Result<Option<Matrix<'a>>, ModelError> {
        let other = || ModelError::ElementType {
            file: self.file.clone(),
            tensor: self.full_name(name),
            has: tensor.dtype,
        };
        let matrix = match tensor.dtype {
            Dtype::F32 => tensor.as_f32().map(Matrix::F32),
            Dtype::F16 => tensor.as_f16().map(Matrix::F16),
            Dtype::Bf16 => tensor.as_bf16().map(Matrix::Bf16),
            Dtype::F64 => return Ok(None),
            Dtype::I8 => {
                let parts = tensor.as_i8().zip(self.scales(name, tensor)?);
                parts.map(|(values, scales)| Matrix::Q8 { values, scales })
            }
            _ => None,
        };
        matrix.map(Some).ok_or_else(other)
    }

    /// The scale factors of a q8 tensor.
    fn scales(&self, name: &str, tensor: Tensor<'_>) -> Result<Option<&[f16]>, ModelError> {
        let (file, scales_name) = (self.file.clone(), format!("{name}{SCALE_SUFFIX}"));
        let tensor_name = self.full_name(&scales_name);
        let Some(scales) = self.tensor(&scales_name) else {
            return Err(self.absent(&scales_name));
        };
        let columns = tensor.shape.last().copied().unwrap_or(0);
        let wants = vec![tensor.len() / columns.max(1), columns / Q8_BLOCK];
        if scales.shape != wants || !columns.is_multiple_of(Q8_BLOCK) {
            let has = scales.shape.to_vec();
            return Err(ModelError::Shape { file, tensor: tensor_name, wants, has });
        }
        Ok(scales.as_f16())
    }
}

impl<'a> Source<'a, Cpu<'_>> for &'a ModelPart {
    type Error = core::convert::Infallible;

    fn matrix(
        &mut self,
        name: fmt::Arguments<'_>,
        _shape: &[usize],
    ) -> Result<Matrix<'a>, Self::Error> {
        let (part, name): (&'a ModelPart, _) = (self, name.to_string());
        if let Some(values) = part.widened.get(&name) {
            return Ok(Matrix::F32(values));
        }
        let tensor = part.tensor(&name).expect("`prepare` found every tensor");
        match part.stored(&name, tensor) {
            Ok(Some(matrix)) => Ok(matrix),
            Ok(None) | Err(_) => unreachable!("`prepare` widened or refused {name}"),
        }
    }

    fn vector(
        &mut self,
        name: fmt::Arguments<'_>,
        _shape: &[usize],
    ) -> Result<&'a [f32], Self::Error> {
        let (part, name): (&'a ModelPart, _) = (self, name.to_string());
        if let Some(values) = part.widened.get(&name) {
            return Ok(values);
        }
        let tensor = part.tensor(&name).expect("`prepare` found every tensor");
        Ok(tensor.as_f32().expect("`prepare` widened what is not f32"))
    }
}
