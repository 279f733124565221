//! What a checkpoint holds: the model, and where its training stands.
//!
//! | tensor | holds |
//! |---|---|
//! | `vae.*` | the VQVAE: its average where one is kept |
//! | `vae.quantize.ema_vocab_hit_SV` | average hits of the codes at each scale |
//! | `train.weights` | the weights themselves, where an average is kept |
//! | `train.m`, `train.v` | AdamW's averages, flat as [`Layout`](crate::train::Layout) says |
//! | `train.counts`, `train.sums` | the averages that move the codes, where they do |
//! | `train.disc.*` | the discriminator, where there is one: weights, AdamW's averages, its weight |
//!
//! The metadata have the model's configuration under `config` and a [`Progress`] under `train`. All
//! random numbers are functions of seed and iteration, and so is the place in the data: there is no
//! other state.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Critic, Trainer};
use crate::checkpoint::{Checkpoint, Dtype, Record};
use crate::model::settings::{self, Settings, VaeSettings};
use crate::parallel::Ranks;
use crate::train::TrainError;

/// The key of a [`Progress`] in the metadata.
const KEY: &str = "train";

/// Average hits, as the published trainer calls them.
const HITS: &str = "vae.quantize.ema_vocab_hit_SV";

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Iterations done.
    pub iterations: u64,
    /// Updates among them that moved the weights.
    pub updates: u64,
    /// Updates of the discriminator.
    pub critic_updates: u64,
    /// Steps in which hits were counted.
    pub counted: u64,
    /// Codes that began anew.
    pub revived: u64,
    /// Iterations in a row, up to the last, whose gradients were not finite.
    pub refused: u32,
    /// All iterations whose gradients were not finite.
    pub refused_in_all: u64,
    /// The highest PSNR that a validation found, in dB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_psnr: Option<f64>,
}

impl Progress {
    /// With what `trainer` counts.
    fn of(&self, trainer: &Trainer) -> Self {
        Self {
            updates: trainer.optimizer.steps,
            critic_updates: trainer.critic.as_ref().map_or(0, |critic| critic.optimizer.steps),
            counted: trainer.keeper.usage.steps,
            revived: trainer.keeper.revived,
            ..self.clone()
        }
    }

    fn give(&self, trainer: &mut Trainer) {
        trainer.optimizer.steps = self.updates;
        trainer.keeper.usage.steps = self.counted;
        trainer.keeper.revived = self.revived;
        if let Some(critic) = &mut trainer.critic {
            critic.optimizer.steps = self.critic_updates;
        }
    }
}

/// The flat tensors of a training, by name; the model itself is not among them, except for the
/// weights where what is saved is their average.
fn flat(trainer: &Trainer) -> Vec<(&'static str, &[f32])> {
    let Trainer { optimizer, keeper, critic, weights, average, .. } = trainer;
    let mut all: Vec<(_, &[f32])> =
        vec![("train.m", &optimizer.m), ("train.v", &optimizer.v), (HITS, &keeper.usage.hits)];
    if average.is_some() {
        all.push(("train.weights", weights));
    }
    if let Some(average) = &keeper.average {
        all.extend([("train.counts", &average.counts[..]), ("train.sums", &average.sums)]);
    }
    if let Some(Critic { weights, optimizer, ratio, .. }) = critic {
        all.extend([("train.disc.weights", &weights[..]), ("train.disc.m", &optimizer.m)]);
        all.extend([("train.disc.v", &optimizer.v[..]), ("train.disc.ratio", ratio)]);
    }
    all
}

/// The same tensors in the same order, to write.
fn flat_mut(trainer: &mut Trainer) -> Vec<(&'static str, &mut [f32])> {
    let names: Vec<&'static str> = flat(trainer).into_iter().map(|(name, _)| name).collect();
    let Trainer { optimizer, keeper, critic, weights, average, .. } = trainer;
    let mut all = vec![&mut optimizer.m[..], &mut optimizer.v, &mut keeper.usage.hits];
    if average.is_some() {
        all.push(weights);
    }
    if let Some(average) = &mut keeper.average {
        all.extend([&mut average.counts[..], &mut average.sums]);
    }
    if let Some(Critic { weights, optimizer, ratio, .. }) = critic {
        all.extend([&mut weights[..], &mut optimizer.m, &mut optimizer.v, ratio]);
    }
    names.into_iter().zip(all).collect()
}

/// What to write of `trainer`.
pub fn records<'a>(
    trainer: &'a Trainer,
    progress: &Progress,
    class_names: &[String],
) -> (Vec<Record<'a>>, BTreeMap<String, String>) {
    let vae = Some(VaeSettings::from(&trainer.config));
    let settings = Settings { var: None, vae, class_names: class_names.to_vec() };
    let progress = progress.of(trainer);
    let json = |value: Result<String, serde_json::Error>| value.expect("plain numbers and text");
    let metadata = BTreeMap::from([
        (settings::KEY.to_owned(), json(serde_json::to_string(&settings))),
        (KEY.to_owned(), json(serde_json::to_string(&progress))),
    ]);
    let scales = trainer.config.ladder.scales();
    let mut records = Vec::new();
    let weights = trainer.best_weights();
    for tensor in trainer.layout.tensors() {
        let values = &weights[tensor.range.clone()];
        records.push(record(format!("vae.{}", tensor.name), tensor.shape.clone(), values));
    }
    for (name, values) in flat(trainer) {
        let shape = match name {
            HITS => vec![scales, values.len() / scales],
            _ => vec![values.len()],
        };
        records.push(record(name.to_owned(), shape, values));
    }
    (records, metadata)
}

fn record(name: String, shape: Vec<usize>, values: &[f32]) -> Record<'_> {
    let bytes = move || Ok(Cow::Borrowed(bytemuck::cast_slice(values)));
    Record { name, dtype: Dtype::F32, shape, bytes: Box::new(bytes) }
}

/// Sets `trainer` to where the checkpoint at `path` stands.
///
/// # Errors
/// If the checkpoint is of another model or lacks a part.
pub fn restore(
    trainer: &mut Trainer,
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
        let name = format!("vae.{}", tensor.name);
        let found = checkpoint.tensor(&name);
        let values = found.filter(|found| found.shape == tensor.shape).and_then(|t| t.as_f32());
        let Some(values) = values else {
            let has = found.map_or("none".to_owned(), |found| format!("{:?}", found.shape));
            return Err(other("weights", format!("{name} of {:?}", tensor.shape), has));
        };
        model[tensor.range.clone()].copy_from_slice(values);
    }
    for (name, into) in flat_mut(trainer) {
        match checkpoint.tensor(name).and_then(|tensor| tensor.as_f32()) {
            Some(values) if values.len() == into.len() => into.copy_from_slice(values),
            found => {
                let has = found.map_or("none".to_owned(), |values| values.len().to_string());
                return Err(other(name, format!("{} floats", into.len()), has));
            }
        }
    }
    match &mut trainer.average {
        Some(average) => *average = model,
        None => trainer.weights = model,
    }
    progress.give(trainer);
    Ok(progress)
}

/// Gives every rank the state of the first.
///
/// # Errors
/// If the others cannot be reached.
pub fn share(
    trainer: &mut Trainer,
    progress: Progress,
    ranks: &dyn Ranks,
) -> Result<Progress, TrainError> {
    if ranks.size() == 1 {
        return Ok(progress);
    }
    let mut bytes = serde_json::to_vec(&progress.of(trainer)).expect("plain numbers");
    ranks.broadcast(&mut bytes)?;
    let progress: Progress = serde_json::from_slice(&bytes).expect("what the first rank wrote");
    let send = |values: &mut [f32]| -> Result<(), TrainError> {
        let mut bytes = bytemuck::cast_slice(values).to_vec();
        ranks.broadcast(&mut bytes)?;
        bytemuck::cast_slice_mut(values).copy_from_slice(&bytes);
        Ok(())
    };
    for (_, values) in flat_mut(trainer) {
        send(values)?;
    }
    match &mut trainer.average {
        Some(average) => send(average)?,
        None => send(&mut trainer.weights)?,
    }
    progress.give(trainer);
    Ok(progress)
}
