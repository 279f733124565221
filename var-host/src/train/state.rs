//! Contents of a checkpoint besides the model: progress of the run and the optimizer's state.
//!
//! | tensor | holds |
//! |---|---|
//! | `var.*` | the transformer: its average where one is kept |
//! | `vae.*` | the VQVAE, as it was given |
//! | `train.m`, `train.v` | AdamW's averages, flat as [`Layout`](super::Layout) says |
//! | `train.weights` | the weights themselves, flat, where an average is kept |
//!
//! The metadata have the model's configuration under `config` and a [`Progress`] under `train`. All
//! random numbers are functions of seed and iteration, and so is the place in the data: there is no
//! other state.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Home, TrainError, Trainer};
use crate::checkpoint::quantize::Precision;
use crate::checkpoint::{Checkpoint, Dtype, Record};
use crate::model::Weights;
use crate::model::convert;
use crate::model::settings::{self, VarSettings};
use crate::optim::LossScale;
use crate::parallel::Ranks;

/// The key of a [`Progress`] in the metadata.
const KEY: &str = "train";

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Iterations done.
    pub iterations: u64,
    /// Updates among them that moved the weights.
    pub updates: u64,
    /// Iterations in a row, up to the last, with gradients that were not finite.
    pub refused: u32,
    /// All iterations with gradients that were not finite.
    pub refused_in_all: u64,
    /// The loss scale and its good steps, in half precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<(f32, u32)>,
    /// The lowest loss on the last scale that a validation found, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_tail: Option<f64>,
    /// Whether a signal broke off the validation that is due.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub unjudged: bool,
}

/// The numbers of a trainer, for the host to read.
pub struct Numbers<'a> {
    weights: Cow<'a, [f32]>,
    average: Option<Cow<'a, [f32]>>,
    m: Cow<'a, [f32]>,
    v: Cow<'a, [f32]>,
}

/// Reads the numbers of `trainer`.
///
/// # Errors
/// Only the device's own.
pub fn read<'a, H: Home>(
    trainer: &'a Trainer<H>,
    d: &H::Device<'_>,
) -> Result<Numbers<'a>, TrainError> {
    let read = |numbers| H::read(d, &trainer.layout, numbers);
    Ok(Numbers {
        weights: read(&trainer.weights)?,
        average: trainer.average.as_ref().map(read).transpose()?,
        m: read(&trainer.optimizer.m)?,
        v: read(&trainer.optimizer.v)?,
    })
}

/// Records of `trainer` (its values in `numbers`), of the VQVAE and of the class names of `given`.
pub fn records<'a, H: Home>(
    trainer: &Trainer<H>,
    numbers: &'a Numbers<'_>,
    progress: &Progress,
    given: &'a Weights,
) -> (Vec<Record<'a>>, BTreeMap<String, String>) {
    let (mut records, mut settings) = convert::records(given, Precision::F32);
    settings.var = Some(VarSettings::from(&trainer.config));
    let weights = numbers.average.as_ref().unwrap_or(&numbers.weights);
    for tensor in trainer.layout.tensors() {
        let values = &weights[tensor.range.clone()];
        records.push(record(format!("var.{}", tensor.name), tensor.shape.clone(), values));
    }
    records.extend(flat(numbers).map(|(name, values)| record(name, vec![values.len()], values)));
    let progress = with_counts(trainer, progress.clone());
    let json = |value: Result<String, serde_json::Error>| value.expect("plain numbers and text");
    let mut metadata = BTreeMap::from([
        (settings::KEY.to_owned(), json(serde_json::to_string(&settings))),
        (KEY.to_owned(), json(serde_json::to_string(&progress))),
    ]);
    metadata.extend(convert::sources(given));
    (records, metadata)
}

/// With the trainer's own counts.
fn with_counts<H: Home>(trainer: &Trainer<H>, progress: Progress) -> Progress {
    Progress {
        updates: trainer.optimizer.steps,
        loss_scale: trainer.loss_scale.map(|scale| (scale.factor, scale.good_steps)),
        ..progress
    }
}

/// The flat tensors of the optimizer.
fn flat<'a>(numbers: &'a Numbers<'_>) -> impl Iterator<Item = (&'static str, &'a [f32])> {
    let state = [("train.m", &numbers.m), ("train.v", &numbers.v)];
    let weights = numbers.average.is_some().then_some(("train.weights", &numbers.weights));
    state.into_iter().chain(weights).map(|(name, values)| (name, &values[..]))
}

fn record<'a>(name: impl Into<String>, shape: Vec<usize>, values: &'a [f32]) -> Record<'a> {
    let bytes = move || Ok(Cow::Borrowed(bytemuck::cast_slice(values)));
    Record { name: name.into(), dtype: Dtype::F32, shape, bytes: Box::new(bytes) }
}

/// Sets `trainer` to where the checkpoint at `path` stands.
///
/// # Errors
/// If the checkpoint is of another model or lacks a part.
pub fn restore<H: Home>(
    trainer: &mut Trainer<H>,
    d: &H::Device<'_>,
    checkpoint: &Checkpoint,
    path: &Path,
) -> Result<Progress, TrainError> {
    let other = |what, wants: String, has: String| TrainError::State {
        path: path.to_path_buf(),
        what,
        wants,
        has,
    };
    let text = checkpoint.metadata().get(KEY);
    let text = text.ok_or_else(|| other("metadata", KEY.to_owned(), "none".to_owned()))?;
    let progress: Progress = serde_json::from_str(text)
        .map_err(|error| other("metadata", KEY.to_owned(), error.to_string()))?;

    let mut model = vec![0.0; trainer.layout.floats()];
    for tensor in trainer.layout.tensors() {
        let name = format!("var.{}", tensor.name);
        let found = checkpoint.tensor(&name);
        let values = found.filter(|found| found.shape == tensor.shape).and_then(|t| t.as_f32());
        let Some(values) = values else {
            let has = found.map_or("none".to_owned(), |found| format!("{:?}", found.shape));
            return Err(other("weights", format!("{name} of {:?}", tensor.shape), has));
        };
        model[tensor.range.clone()].copy_from_slice(values);
    }
    let read = |name: &'static str| {
        let found = checkpoint.tensor(name).and_then(|tensor| tensor.as_f32());
        match found {
            Some(values) if values.len() == model.len() => Ok(values.to_vec()),
            _ => {
                let has = found.map_or("none".to_owned(), |values| values.len().to_string());
                Err(other(name, format!("{} floats", model.len()), has))
            }
        }
    };
    let (m, v) = (read("train.m")?, read("train.v")?);
    let weights = trainer.average.is_some().then(|| read("train.weights")).transpose()?;
    let keep = |numbers| H::keep(d, &trainer.layout, numbers);
    (trainer.optimizer.m, trainer.optimizer.v) = (keep(m)?, keep(v)?);
    match weights {
        Some(weights) => {
            (trainer.weights, trainer.average) = (keep(weights)?, Some(keep(model)?));
        }
        None => trainer.weights = keep(model)?,
    }
    take_progress(trainer, &progress);
    Ok(progress)
}

fn take_progress<H: Home>(trainer: &mut Trainer<H>, progress: &Progress) {
    trainer.optimizer.steps = progress.updates;
    trainer.loss_scale =
        progress.loss_scale.map(|(factor, good_steps)| LossScale { factor, good_steps });
}

/// Gives every rank the state of the first.
///
/// # Errors
/// If the others cannot be reached.
pub fn share<H: Home>(
    trainer: &mut Trainer<H>,
    d: &H::Device<'_>,
    progress: Progress,
    ranks: &dyn Ranks,
) -> Result<Progress, TrainError> {
    if ranks.size() == 1 {
        return Ok(progress);
    }
    let mut bytes = serde_json::to_vec(&with_counts(trainer, progress)).expect("plain numbers");
    ranks.broadcast(&mut bytes)?;
    let progress: Progress = serde_json::from_slice(&bytes).expect("what the first rank wrote");
    let Trainer { weights, average, optimizer, layout, .. } = trainer;
    for numbers in [Some(weights), average.as_mut(), Some(&mut optimizer.m), Some(&mut optimizer.v)]
    {
        let Some(numbers) = numbers else { continue };
        let mut values = H::read(d, layout, numbers)?.into_owned();
        let mut bytes = bytemuck::cast_slice(&values).to_vec();
        ranks.broadcast(&mut bytes)?;
        bytemuck::cast_slice_mut(&mut values).copy_from_slice(&bytes);
        *numbers = H::keep(d, layout, values)?;
    }
    take_progress(trainer, &progress);
    Ok(progress)
}
