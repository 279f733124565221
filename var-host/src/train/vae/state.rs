//! Contents of a checkpoint: the model, and the progress of its training.
//!
//! | tensor | holds |
//! |---|---|
//! | `vae.*` | the VQVAE: its average where one is kept |
//! | `vae.quantize.ema_vocab_hit_SV` | average hits of the codes at each scale |
//! | `train.weights` | the weights themselves, where an average is kept |
//! | `train.m`, `train.v` | AdamW's averages, flat as [`Layout`] says |
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
use var_kernel::memory::Floats;

use super::{Critic, Trainer};
use crate::checkpoint::{Checkpoint, Dtype, Record};
use crate::model::settings::{self, Settings, VaeSettings};
use crate::parallel::Ranks;
use crate::pictures::Cut;
use crate::train::{Home, Layout, TrainError};

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
    /// Iterations in a row, up to the last, with gradients that were not finite.
    pub refused: u32,
    /// All iterations with gradients that were not finite.
    pub refused_in_all: u64,
    /// The highest PSNR that a validation found, in dB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_psnr: Option<f64>,
    /// Whether a signal broke off the validation that is due.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub unjudged: bool,
}

impl Progress {
    /// With the counts of `trainer`.
    fn of<H: Home>(&self, trainer: &Trainer<H>) -> Self {
        Self {
            updates: trainer.optimizer.steps,
            critic_updates: trainer.critic.as_ref().map_or(0, |critic| critic.optimizer.steps),
            counted: trainer.keeper.usage.steps,
            revived: trainer.keeper.revived,
            ..self.clone()
        }
    }

    fn give<H: Home>(&self, trainer: &mut Trainer<H>) {
        trainer.optimizer.steps = self.updates;
        trainer.keeper.usage.steps = self.counted;
        trainer.keeper.revived = self.revived;
        if let Some(critic) = &mut trainer.critic {
            critic.optimizer.steps = self.critic_updates;
        }
    }
}

/// The numbers of a trainer, for the host to read.
pub struct Numbers<'a> {
    /// The best weights.
    model: Cow<'a, [f32]>,
    flat: Named<'a>,
}

/// Tensors of a training by name, on the host.
type Named<'a> = Vec<(&'static str, Cow<'a, [f32]>)>;

/// Reads the numbers of `trainer`.
///
/// # Errors
/// Only the device's own.
pub fn read<'a, H: Home>(
    trainer: &'a Trainer<H>,
    d: &H::Device<'_>,
) -> Result<Numbers<'a>, TrainError> {
    let best = trainer.average.as_ref().unwrap_or(&trainer.weights);
    Ok(Numbers { model: H::read(d, &trainer.layout, best)?, flat: flat(trainer, d)? })
}

/// A flat tensor of a training: where its numbers live.
enum Flat<'a, H: Home> {
    Device(&'a H::Numbers, &'a Layout),
    Host(&'a [f32]),
}

/// The flat tensors of a training, by name; the model itself is not among them, except for the
/// weights where the file's model is their average.
fn tensors<H: Home>(trainer: &Trainer<H>) -> Vec<(&'static str, Flat<'_, H>)> {
    let Trainer { optimizer, keeper, critic, weights, average, layout, .. } = trainer;
    let mut all = vec![
        ("train.m", Flat::Device(&optimizer.m, layout)),
        ("train.v", Flat::Device(&optimizer.v, layout)),
        (HITS, Flat::Host(&keeper.usage.hits)),
    ];
    if average.is_some() {
        all.push(("train.weights", Flat::Device(weights, layout)));
    }
    if let Some(average) = &keeper.average {
        all.push(("train.counts", Flat::Host(&average.counts)));
        all.push(("train.sums", Flat::Host(&average.sums)));
    }
    if let Some(Critic { weights, optimizer, ratio, layout, .. }) = critic {
        all.push(("train.disc.weights", Flat::Device(weights, layout)));
        all.push(("train.disc.m", Flat::Device(&optimizer.m, layout)));
        all.push(("train.disc.v", Flat::Device(&optimizer.v, layout)));
        all.push(("train.disc.ratio", Flat::Host(ratio)));
    }
    all
}

fn flat<'a, H: Home>(trainer: &'a Trainer<H>, d: &H::Device<'_>) -> Result<Named<'a>, TrainError> {
    let read = |(name, tensor)| {
        let numbers = match tensor {
            Flat::Device(numbers, layout) => H::read(d, layout, numbers)?,
            Flat::Host(numbers) => Cow::Borrowed(numbers),
        };
        Ok((name, numbers))
    };
    tensors(trainer).into_iter().map(read).collect()
}

/// Sets the flat tensors, in the order of [`tensors`] and as long as they are.
fn set_flat<H: Home>(
    trainer: &mut Trainer<H>,
    d: &H::Device<'_>,
    values: Vec<Vec<f32>>,
) -> Result<(), TrainError> {
    let Trainer { optimizer, keeper, critic, weights, average, layout, .. } = trainer;
    let mut values = values.into_iter();
    let mut next = || values.next().expect("one for each tensor");
    optimizer.m = H::keep(d, layout, next())?;
    optimizer.v = H::keep(d, layout, next())?;
    keeper.usage.hits = next();
    if average.is_some() {
        *weights = H::keep(d, layout, next())?;
    }
    if let Some(average) = &mut keeper.average {
        (average.counts, average.sums) = (next(), next());
    }
    if let Some(Critic { weights, optimizer, ratio, layout, .. }) = critic {
        *weights = H::keep(d, layout, next())?;
        optimizer.m = H::keep(d, layout, next())?;
        optimizer.v = H::keep(d, layout, next())?;
        ratio.copy_from_slice(&next());
    }
    Ok(())
}

/// Sets the best weights.
fn set_model<H: Home>(
    trainer: &mut Trainer<H>,
    d: &H::Device<'_>,
    model: Vec<f32>,
) -> Result<(), TrainError> {
    let model = H::keep(d, &trainer.layout, model)?;
    match &mut trainer.average {
        Some(average) => *average = model,
        None => trainer.weights = model,
    }
    Ok(())
}

/// Records of `trainer`, its values in `numbers`.
pub fn records<'a, H: Home>(
    trainer: &Trainer<H>,
    numbers: &'a Numbers<'_>,
    progress: &Progress,
    class_names: &[String],
    cut: Option<Cut>,
) -> (Vec<Record<'a>>, BTreeMap<String, String>) {
    let vae = Some(VaeSettings::from(&trainer.config));
    let settings = Settings { var: None, vae, class_names: class_names.to_vec(), cut };
    let progress = progress.of(trainer);
    let json = |value: Result<String, serde_json::Error>| value.expect("plain numbers and text");
    let metadata = BTreeMap::from([
        (settings::KEY.to_owned(), json(serde_json::to_string(&settings))),
        (KEY.to_owned(), json(serde_json::to_string(&progress))),
    ]);
    let scales = trainer.config.ladder.scales();
    let mut records = Vec::new();
    for tensor in trainer.layout.tensors() {
        let values = &numbers.model[tensor.range.clone()];
        records.push(record(format!("vae.{}", tensor.name), tensor.shape.clone(), values));
    }
    for (name, values) in &numbers.flat {
        let shape = match *name {
            HITS => vec![scales, values.len() / scales],
            _ => vec![values.len()],
        };
        records.push(record((*name).to_owned(), shape, values));
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
        let name = format!("vae.{}", tensor.name);
        let found = checkpoint.tensor(&name);
        let values = found.filter(|found| found.shape == tensor.shape).and_then(|t| t.as_f32());
        let Some(values) = values else {
            let has = found.map_or("none".to_owned(), |found| format!("{:?}", found.shape));
            return Err(other("weights", format!("{name} of {:?}", tensor.shape), has));
        };
        model[tensor.range.clone()].copy_from_slice(values);
    }
    let mut flat = Vec::new();
    for (name, tensor) in tensors(trainer) {
        let wants = match tensor {
            Flat::Device(numbers, _) => numbers.len(),
            Flat::Host(numbers) => numbers.len(),
        };
        match checkpoint.tensor(name).and_then(|tensor| tensor.as_f32()) {
            Some(values) if values.len() == wants => flat.push(values.to_vec()),
            found => {
                let has = found.map_or("none".to_owned(), |values| values.len().to_string());
                return Err(other(name, format!("{wants} floats"), has));
            }
        }
    }
    set_flat(trainer, d, flat)?;
    set_model(trainer, d, model)?;
    progress.give(trainer);
    Ok(progress)
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
    let mut bytes = serde_json::to_vec(&progress.of(trainer)).expect("plain numbers");
    ranks.broadcast(&mut bytes)?;
    let progress: Progress = serde_json::from_slice(&bytes).expect("what the first rank wrote");
    let send = |values: Cow<'_, [f32]>| -> Result<Vec<f32>, TrainError> {
        let mut values = values.into_owned();
        let mut bytes = bytemuck::cast_slice(&values).to_vec();
        ranks.broadcast(&mut bytes)?;
        bytemuck::cast_slice_mut(&mut values).copy_from_slice(&bytes);
        Ok(values)
    };
    let Numbers { model, flat } = read(trainer, d)?;
    let flat = flat.into_iter().map(|(_, values)| send(values));
    let (flat, model) = (flat.collect::<Result<_, _>>()?, send(model)?);
    set_flat(trainer, d, flat)?;
    set_model(trainer, d, model)?;
    progress.give(trainer);
    Ok(progress)
}
