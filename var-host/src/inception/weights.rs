//! A checkpoint's tensors, batch normalization folded into the convolutions.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::CLASSES;
use super::layout::{self, Conv, LOGITS};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::model::ModelError;

/// Added to a variance before its root is taken.
const EPSILON: f64 = 0.001;

/// Tensors of a normalization: scale, shift, mean, variance.
const NORMALIZATION: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

/// The network's weights.
pub struct Inception {
    convs: HashMap<String, FoldedConv>,
    logits: Vec<f32>,
}

/// A convolution with its normalization in it.
pub(super) struct FoldedConv {
    /// `outer × inner × kernel rows × kernel columns`.
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Inception {
    /// The weights in the file at `path`: the published `pt_inception-2015-12-05-6726825d.pth`, or its
    /// conversion by [`super::convert`].
    ///
    /// # Errors
    /// If it cannot be read, or a tensor is missing, misshapen, unknown or not finite.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Self::of(&Checkpoint::open(path)?, &path.display().to_string())
    }

    /// The weights in an open checkpoint, called `file` in messages.
    ///
    /// # Errors
    /// If a tensor is missing, misshapen, unknown or not finite.
    pub fn of(checkpoint: &Checkpoint, file: &str) -> Result<Self, ModelError> {
        let reader = InceptionReader { checkpoint, file };
        reader.check_names()?;
        let convs = convs().into_iter().map(|conv| {
            let folded = reader.fold(&conv)?;
            Ok((conv.name, folded))
        });
        let convs = convs.collect::<Result<_, ModelError>>()?;
        let (name, shape) = LOGITS;
        Ok(Self { convs, logits: reader.numbers(name, &shape)? })
    }

    pub(super) fn conv(&self, name: &str) -> &FoldedConv {
        &self.convs[name]
    }

    /// `CLASSES × POOLED`.
    pub(super) fn logits(&self) -> &[f32] {
        &self.logits
    }
}

impl core::fmt::Debug for Inception {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Inception").finish_non_exhaustive()
    }
}

/// All convolutions.
pub(super) fn convs() -> Vec<Conv> {
    let branches = layout::blocks().into_iter().flat_map(|block| block.branches);
    branches.flat_map(|branch| branch.chain.into_iter().chain(branch.ends)).collect()
}

/// Names and shapes of all tensors that the network is made of.
pub fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut tensors = Vec::new();
    for Conv { name, inner, outer, kernel: [rows, columns], .. } in convs() {
        tensors.push((format!("{name}.conv.weight"), vec![outer, inner, rows, columns]));
        tensors.extend(NORMALIZATION.map(|part| (format!("{name}.bn.{part}"), vec![outer])));
    }
    tensors.push((LOGITS.0.to_owned(), LOGITS.1.to_vec()));
    // The evaluator leaves it out, and so do we; files have it.
    tensors.push(("fc.bias".to_owned(), vec![CLASSES]));
    tensors
}

/// Whether a tensor of the published file is of no use: how many batches a normalization has seen.
pub(super) fn is_counter(name: &str) -> bool {
    name.ends_with(".bn.num_batches_tracked")
}

struct InceptionReader<'a> {
    checkpoint: &'a Checkpoint,
    file: &'a str,
}

impl InceptionReader<'_> {
    /// Refuses tensors that are not the network's.
    fn check_names(&self) -> Result<(), ModelError> {
        let known: HashSet<String> = tensors().into_iter().map(|(name, _)| name).collect();
        let mut found = self.checkpoint.tensors();
        match found.find(|tensor| !known.contains(tensor.name) && !is_counter(tensor.name)) {
            None => Ok(()),
            Some(tensor) => {
                let (file, has) = (self.file.to_owned(), tensor.shape.to_vec());
                Err(ModelError::Unknown { file, tensor: tensor.name.to_owned(), has })
            }
        }
    }

    /// `weight · γ/√(variance + ε)` and `β − mean · γ/√(variance + ε)`, each rounded once.
    fn fold(&self, conv: &Conv) -> Result<FoldedConv, ModelError> {
        let Conv { name, inner, outer, kernel: [rows, columns], .. } = conv;
        let shape = [*outer, *inner, *rows, *columns];
        let mut weight = self.numbers(&format!("{name}.conv.weight"), &shape)?;
        let part = |part: &str| self.numbers(&format!("{name}.bn.{part}"), &[*outer]);
        let [scale, shift, mean, variance] = NORMALIZATION.map(part);
        let (scale, shift, mean, variance) = (scale?, shift?, mean?, variance?);
        if let Some(index) = variance.iter().position(|variance| *variance < 0.0) {
            let (file, tensor) = (self.file.to_owned(), format!("{name}.bn.{}", NORMALIZATION[3]));
            return Err(ModelError::Negative { file, tensor, index, value: variance[index] });
        }
        let factor = |o: usize| f64::from(scale[o]) / (f64::from(variance[o]) + EPSILON).sqrt();
        for (o, weight) in weight.chunks_exact_mut(inner * rows * columns).enumerate() {
            let factor = factor(o);
            weight.iter_mut().for_each(|weight| *weight = (f64::from(*weight) * factor) as f32);
        }
        let bias = |o: usize| (f64::from(shift[o]) - f64::from(mean[o]) * factor(o)) as f32;
        Ok(FoldedConv { weight, bias: (0..*outer).map(bias).collect() })
    }

    /// The tensor `name`, which must have this shape.
    fn numbers(&self, name: &str, wants: &[usize]) -> Result<Vec<f32>, ModelError> {
        let (file, tensor) = (self.file.to_owned(), name.to_owned());
        let Some(found) = self.checkpoint.tensor(name) else {
            return Err(ModelError::Missing { file, tensor });
        };
        let Tensor { dtype, shape, .. } = found;
        if shape != wants {
            let (wants, has) = (wants.to_vec(), shape.to_vec());
            return Err(ModelError::Shape { file, tensor, wants, has });
        }
        if !dtype.is_float() {
            return Err(ModelError::ElementType { file, tensor, has: dtype });
        }
        let values = found.to_f32();
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(ModelError::NotFinite { file, tensor, index, value: values[index] }),
        }
    }
}
