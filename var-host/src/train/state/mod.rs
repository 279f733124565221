//! Contents of a checkpoint: the model, and the state of its training.
//!
//! | tensor | holds |
//! |---|---|
//! | `var.*` or `vae.*` | the network in training: its average where one is kept |
//! | `vae.*` beside a transformer in training | the VQVAE, as it was given |
//! | `vae.quantize.ema_vocab_hit_SV` | average usage of the codes at each scale |
//! | `train.m`, `train.v` | AdamW's averages, flat as [`ParameterLayout`] says |
//! | `train.weights` | the weights themselves, flat, where an average is kept |
//! | `train.counts`, `train.sums` | the averages that move the codes, where they do |
//! | `train.disc.*` | the discriminator, where there is one: weights, AdamW's averages, its weight |
//!
//! The metadata have the model's configuration under `config` and a [`Progress`] under `train`. All
//! random numbers are functions of seed and iteration, and so is the place in the data: there is no
//! other state.
//!
//! A trainer names its state once, in one list ([`TrainState`]): what is read, written and sent to other
//! ranks goes by these names.

mod counters;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use var_kernel::memory::Floats;

use counters::{counters, set_counters};

use super::{ParameterLayout, Storage, TrainError};
use crate::checkpoint::quantize::WeightDtype;
use crate::checkpoint::{Checkpoint, Dtype, Record};
use crate::model::settings::{self, Settings};
use crate::model::{Weights, convert};
use crate::parallel::ProcessGroup;

pub use counters::{Counter, StateCounter};

/// The key of a [`Progress`] in the metadata.
const KEY: &str = "train";

/// Version of the state's format; files from before there were versions have none and are read too.
pub const VERSION: u32 = 1;

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of the format.
    #[serde(default)]
    pub version: u32,
    /// Iterations done.
    pub iterations: u64,
    /// Iterations in a row, up to the last, with gradients that were not finite.
    pub refused: u32,
    /// All iterations with gradients that were not finite.
    pub refused_in_all: u64,
    /// The best value of a validation: of a transformer the lowest loss on the last scale in nats, of
    /// a VQVAE the highest PSNR in dB.
    #[serde(default, alias = "best_tail", alias = "best_psnr")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<f64>,
    /// Whether a signal broke off the validation that is due.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub unjudged: bool,
    /// The trainer's own counters, by name.
    #[serde(flatten)]
    pub counters: BTreeMap<String, Counter>,
}

/// The state of a trainer by name, where it lies: the one list that saving, loading and sending go by.
pub struct TrainState<'t, S: Storage> {
    /// Tensors.
    pub tensors: Vec<StateTensor<'t, S>>,
    /// Counters.
    pub counters: Vec<(&'static str, StateCounter<'t>)>,
}

impl<'t, S: Storage> TrainState<'t, S> {
    /// Adds the tensors and counters of another part of the trainer.
    pub fn append(&mut self, other: Self) {
        self.tensors.extend(other.tensors);
        self.counters.extend(other.counters);
    }
}

/// A tensor of the state where it lies.
pub struct StateTensor<'t, S: Storage> {
    name: String,
    elements: StateElements<'t, S>,
    /// Whether the elements are those of a model, each tensor saved by itself under `name`.
    is_model: bool,
    /// Whether the elements are averages of squares.
    without_negatives: bool,
}

enum StateElements<'t, S: Storage> {
    Device(&'t mut S::Buffer, &'t ParameterLayout),
    Host(&'t mut [f32], Vec<usize>),
}

impl<'t, S: Storage> StateTensor<'t, S> {
    /// Elements on the device, saved as one flat tensor.
    pub fn flat(name: String, elements: &'t mut S::Buffer, layout: &'t ParameterLayout) -> Self {
        let elements = StateElements::Device(elements, layout);
        Self { name, elements, is_model: false, without_negatives: false }
    }

    /// Elements on the device, saved tensor by tensor under `prefix`.
    pub fn model(prefix: &str, elements: &'t mut S::Buffer, layout: &'t ParameterLayout) -> Self {
        Self { is_model: true, ..Self::flat(prefix.to_owned(), elements, layout) }
    }

    /// Elements on the host, saved in this shape.
    pub fn host(name: &str, elements: &'t mut [f32], shape: Vec<usize>) -> Self {
        let elements = StateElements::Host(elements, shape);
        Self { name: name.to_owned(), elements, is_model: false, without_negatives: false }
    }

    /// The same; a file with a negative element is refused.
    pub fn without_negatives(self) -> Self {
        Self { without_negatives: true, ..self }
    }

    /// A copy of the elements on the host.
    fn values(&self, d: &S::Device<'_>) -> Result<Vec<f32>, TrainError> {
        match &self.elements {
            StateElements::Device(elements, layout) => {
                Ok(S::to_host(d, layout, elements)?.into_owned())
            }
            StateElements::Host(elements, _) => Ok(elements.to_vec()),
        }
    }

    /// The elements for the host to read.
    fn read(self, d: &S::Device<'_>) -> Result<Snapped<'t>, TrainError> {
        let Self { name, elements, is_model, .. } = self;
        Ok(match elements {
            StateElements::Device(elements, layout) => {
                let values = S::to_host(d, layout, elements)?;
                let layout = is_model.then_some(layout);
                Snapped { name, shape: vec![values.len()], values, layout }
            }
            StateElements::Host(elements, shape) => {
                Snapped { name, shape, values: Cow::Borrowed(elements), layout: None }
            }
        })
    }

    /// Sets the elements.
    fn set(&mut self, d: &S::Device<'_>, values: Vec<f32>) -> Result<(), TrainError> {
        match &mut self.elements {
            StateElements::Device(elements, layout) => {
                **elements = S::from_host(d, layout, values)?
            }
            StateElements::Host(elements, _) => elements.copy_from_slice(&values),
        }
        Ok(())
    }

    /// The elements of this name in `checkpoint`.
    fn find(&self, checkpoint: &Checkpoint) -> Result<Vec<f32>, Mismatch> {
        let Self { name, elements, .. } = self;
        let length = match elements {
            StateElements::Device(_, layout) if self.is_model => {
                return find_model(checkpoint, name, layout);
            }
            StateElements::Device(elements, _) => elements.len(),
            StateElements::Host(elements, _) => elements.len(),
        };
        let found = checkpoint.tensor(name).and_then(|tensor| tensor.as_f32());
        let wants = |wants, has| Mismatch { what: name.clone(), wants, has };
        match found {
            Some(values) if values.len() == length => {
                let negative = values.iter().find(|x| self.without_negatives && **x < 0.0);
                match negative {
                    Some(x) => Err(wants("averages of squares".to_owned(), x.to_string())),
                    None => Ok(values.to_vec()),
                }
            }
            _ => {
                let has = found.map_or("none".to_owned(), |values| values.len().to_string());
                Err(wants(format!("{length} floats"), has))
            }
        }
    }
}

/// A model's tensors under `prefix`, flat.
fn find_model(
    checkpoint: &Checkpoint,
    prefix: &str,
    layout: &ParameterLayout,
) -> Result<Vec<f32>, Mismatch> {
    let mut flat = vec![0.0; layout.floats()];
    for tensor in layout.tensors() {
        let name = format!("{prefix}{}", tensor.name);
        let found = checkpoint.tensor(&name);
        let values = found.filter(|found| found.shape == tensor.shape).and_then(|t| t.as_f32());
        let Some(values) = values else {
            let has = found.map_or("none".to_owned(), |found| format!("{:?}", found.shape));
            let wants = format!("{name} of {:?}", tensor.shape);
            return Err(Mismatch { what: "weights".to_owned(), wants, has });
        };
        flat[tensor.range.clone()].copy_from_slice(values);
    }
    Ok(flat)
}

/// A part of a checkpoint that is not as the run wants it.
struct Mismatch {
    what: String,
    wants: String,
    has: String,
}

impl Mismatch {
    fn at(self, path: &Path) -> TrainError {
        let Self { what, wants, has } = self;
        TrainError::TrainState { path: path.to_path_buf(), what, wants, has }
    }
}

/// A model file's configuration, and a model that is in it beside the one in training.
#[derive(Default)]
pub struct Described<'m> {
    /// The configuration.
    pub settings: Settings,
    /// The model beside, as it was given.
    pub frozen: Option<&'m Weights>,
}

/// A state as it was at one moment, for the host to read.
pub struct Snapshot<'t> {
    tensors: Vec<Snapped<'t>>,
    counters: BTreeMap<String, Counter>,
    described: Described<'t>,
}

struct Snapped<'t> {
    name: String,
    shape: Vec<usize>,
    values: Cow<'t, [f32]>,
    /// Of a model.
    layout: Option<&'t ParameterLayout>,
}

impl<'t> Snapshot<'t> {
    /// Reads `state`.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn read<S: Storage>(
        d: &S::Device<'_>,
        state: TrainState<'t, S>,
        described: Described<'t>,
    ) -> Result<Self, TrainError> {
        let counters = counters(&state.counters);
        let tensors = state.tensors.into_iter().map(|tensor| tensor.read(d));
        Ok(Self { tensors: tensors.collect::<Result<_, _>>()?, counters, described })
    }

    /// Records and metadata of a checkpoint.
    pub fn records(&self, progress: &Progress) -> (Vec<Record<'_>>, BTreeMap<String, String>) {
        let counters = self.counters.clone();
        let progress = Progress { version: VERSION, counters, ..progress.clone() };
        let Described { settings, frozen } = &self.described;
        let json =
            |value: Result<String, serde_json::Error>| value.expect("plain numbers and text");
        let mut metadata = BTreeMap::from([
            (settings::KEY.to_owned(), json(serde_json::to_string(settings))),
            (KEY.to_owned(), json(serde_json::to_string(&progress))),
        ]);
        let mut records = Vec::new();
        if let Some(frozen) = frozen {
            records.extend(convert::records(frozen, WeightDtype::F32));
            metadata.extend(convert::sources(frozen));
        }
        for Snapped { name, shape, values, layout } in &self.tensors {
            match layout {
                None => records.push(record(name.clone(), shape.clone(), values)),
                Some(layout) => records.extend(layout.tensors().iter().map(|tensor| {
                    let name = format!("{name}{}", tensor.name);
                    record(name, tensor.shape.clone(), &values[tensor.range.clone()])
                })),
            }
        }
        (records, metadata)
    }
}

fn record(name: String, shape: Vec<usize>, values: &[f32]) -> Record<'_> {
    let bytes = move || Ok(Cow::Borrowed(bytemuck::cast_slice(values)));
    Record { name, dtype: Dtype::F32, shape, bytes: Box::new(bytes) }
}

/// Whether a checkpoint holds the state of a run, and not a model alone.
pub fn is_in(checkpoint: &Checkpoint) -> bool {
    checkpoint.metadata().contains_key(KEY)
}

/// Sets `state` to that of the checkpoint at `path`; on an error it is as it was.
///
/// # Errors
/// If the checkpoint is of another model, of a newer format, or lacks a part.
pub fn restore<S: Storage>(
    d: &S::Device<'_>,
    state: TrainState<'_, S>,
    checkpoint: &Checkpoint,
    path: &Path,
) -> Result<Progress, TrainError> {
    let metadata =
        |wants: String, has: String| Mismatch { what: "metadata".to_owned(), wants, has }.at(path);
    let text = checkpoint.metadata().get(KEY);
    let text = text.ok_or_else(|| metadata(KEY.to_owned(), "none".to_owned()))?;
    let progress: Progress =
        serde_json::from_str(text).map_err(|error| metadata(KEY.to_owned(), error.to_string()))?;
    if progress.version > VERSION {
        let wants = format!("a state of version {VERSION} or before");
        return Err(metadata(wants, progress.version.to_string()));
    }
    let values = state.tensors.iter().map(|tensor| tensor.find(checkpoint));
    let values: Vec<Vec<f32>> =
        values.collect::<Result<_, _>>().map_err(|mismatch| mismatch.at(path))?;
    for (name, counter) in &state.counters {
        match progress.counters.get(*name) {
            Some(found) if counter.is_like(found) => {}
            Some(found) => return Err(metadata((*name).to_owned(), format!("{found:?}"))),
            None => return Err(metadata((*name).to_owned(), "none".to_owned())),
        }
    }
    for (mut tensor, values) in state.tensors.into_iter().zip(values) {
        tensor.set(d, values)?;
    }
    set_counters(state.counters, &progress.counters);
    Ok(progress)
}

/// Gives every rank the state of the first.
///
/// # Errors
/// If the others cannot be reached.
pub fn share<S: Storage>(
    d: &S::Device<'_>,
    state: TrainState<'_, S>,
    progress: Progress,
    ranks: &dyn ProcessGroup,
) -> Result<Progress, TrainError> {
    if ranks.size() == 1 {
        return Ok(progress);
    }
    let progress = Progress { counters: counters(&state.counters), ..progress };
    let mut bytes = serde_json::to_vec(&progress).expect("plain numbers");
    ranks.broadcast(&mut bytes)?;
    let progress: Progress = serde_json::from_slice(&bytes).expect("written by the first rank");
    for mut tensor in state.tensors {
        let mut values = tensor.values(d)?;
        let mut bytes = bytemuck::cast_slice(&values).to_vec();
        ranks.broadcast(&mut bytes)?;
        bytemuck::cast_slice_mut(&mut values).copy_from_slice(&bytes);
        tensor.set(d, values)?;
    }
    set_counters(state.counters, &progress.counters);
    Ok(progress)
}
