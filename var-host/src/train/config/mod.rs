//! How a transformer is trained, in epochs: the options of `var train` that affect training.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use var_kernel::model::{VarConfig, VqvaeConfig};

use super::dropout::Dropout;
use super::hyperparameters::VarHyperparameters;
use super::precision::Precision;
use super::progressive::Progressive;
use crate::data::OrderOptions;
use crate::optim::schedule::{Decay, Schedule};
use crate::plural::count;

/// How a transformer is trained; every field affects training.
///
/// Serialized, each field has the name of its option of `var train`: what `config.json` holds and what
/// must be the same when a run goes on. The defaults are those of the published trainer.
///
/// ```
/// use var_host::TrainConfig;
///
/// let config = TrainConfig { batch: 64, epochs: 10, seed: 1, ..Default::default() };
/// assert_eq!(serde_json::to_value(&config)?["bs"], 64);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// Images of one update, of all ranks together (`bs`).
    #[serde(rename = "bs")]
    pub batch: u32,
    /// Microbatches that a rank's share of them is divided into (`ac`).
    #[serde(rename = "ac")]
    pub microbatches: u32,
    /// Epochs (`ep`).
    #[serde(rename = "ep")]
    pub epochs: u32,
    /// Iterations instead of whole epochs.
    pub iterations: Option<u64>,
    /// Base learning rate: that of a batch of 256 (`tblr`).
    #[serde(rename = "tblr")]
    pub base_rate: f64,
    /// Weight decay at the start (`twd`).
    #[serde(rename = "twd")]
    pub weight_decay: f64,
    /// Weight decay at the end; 0 for that of the start (`twde`).
    #[serde(rename = "twde")]
    pub weight_decay_end: f64,
    /// Largest norm of a gradient; 0 for no clipping (`tclip`).
    #[serde(rename = "tclip")]
    pub clip: f64,
    /// Label smoothing, 0 to 1 (`ls`).
    #[serde(rename = "ls")]
    pub label_smoothing: f32,
    /// Epochs of the warm-up; 0 for a fiftieth of all (`wp`).
    #[serde(rename = "wp")]
    pub warmup: f64,
    /// Learning rate at its start, as a share of the peak (`wp0`).
    #[serde(rename = "wp0")]
    pub warmup_start: f64,
    /// Learning rate at the end, as a share of the peak (`wpe`).
    #[serde(rename = "wpe")]
    pub final_rate: f64,
    /// Fall of the learning rate; `linX` where progressive training ends at X (`sche`).
    #[serde(rename = "sche", serialize_with = "as_text", deserialize_with = "from_text")]
    pub decay: Decay,
    /// Precision of the blocks: 0, 1, 2 for `f32`, `f16`, `bf16` (`fp16`).
    #[serde(rename = "fp16", serialize_with = "as_number", deserialize_with = "from_number")]
    pub precision: Precision,
    /// Share of the iterations after which all scales are trained; 0 for all of them (`pg`).
    #[serde(rename = "pg")]
    pub progressive: f64,
    /// Newest scale at the start of progressive training, counted from 0 (`pg0`).
    #[serde(rename = "pg0")]
    pub progressive_first: u8,
    /// Epochs in which a new scale gains its weight; 0 for a 300th of all (`pgwp`).
    #[serde(rename = "pgwp")]
    pub progressive_warmup: f64,
    /// Stochastic depth rate of the last block; none for `0.1 · depth / 24`.
    pub drop_path: Option<f32>,
    /// Share of images trained without their class, for classifier-free guidance (`cond-drop`).
    #[serde(rename = "cond-drop")]
    pub class_dropout: f32,
    /// Decay of an exponential moving average of the weights; 0 for none.
    pub ema: f32,
    /// Whether every epoch has the order of the data.
    pub no_shuffle: bool,
    /// How far classes are evened out, 0 to 1: see
    /// [`EpochOrder::balanced`](crate::data::EpochOrder::balanced).
    pub balance: Option<f64>,
    /// Seed of all random numbers.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            batch: 768,
            microbatches: 1,
            epochs: 250,
            iterations: None,
            base_rate: 1e-4,
            weight_decay: 0.05,
            weight_decay_end: 0.0,
            clip: 2.0,
            label_smoothing: 0.0,
            warmup: 0.0,
            warmup_start: 0.005,
            final_rate: 0.01,
            decay: Decay::LIN0,
            precision: Precision::F32,
            progressive: 0.0,
            progressive_first: 4,
            progressive_warmup: 0.0,
            drop_path: None,
            class_dropout: 0.1,
            ema: 0.0,
            no_shuffle: false,
            balance: None,
            seed: 0,
        }
    }
}

/// Options that do not go together, named as `var train` names them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainConfigError {
    /// A batch that cannot be divided evenly.
    #[error("--bs {batch}: no multiple of --ac {microbatches} × {}", count(*ranks, "rank"))]
    Batch {
        /// Images of a batch.
        batch: u32,
        /// Microbatches of a rank.
        microbatches: u32,
        /// Ranks.
        ranks: usize,
    },
    /// A warm-up that does not end.
    #[error("--wp {warmup}: longer than the run of {}", count(*epochs, "epoch"))]
    Warmup {
        /// Epochs of the warm-up.
        warmup: f64,
        /// Epochs of the run.
        epochs: f64,
    },
    /// Progressive training without a scale that comes later.
    #[error(
        "--pg {progressive}: nothing is learned later: --pg0 {first} is the last of {} or beyond",
        count(*scales, "scale")
    )]
    NoLaterScale {
        /// Share of the iterations.
        progressive: f64,
        /// The first scale.
        first: usize,
        /// Number of scales.
        scales: usize,
    },
    /// Progressive training that ends within the warm-up.
    #[error(
        "--pg {progressive}: all scales from iteration {complete}, which the warm-up of {warmup} holds"
    )]
    WithinWarmup {
        /// Share of the iterations.
        progressive: f64,
        /// Iteration from which all scales are trained.
        complete: f64,
        /// Iterations of the warm-up.
        warmup: f64,
    },
    /// A depth with a default rate of stochastic depth that drops every block.
    #[error("--drop-path: 0.1 · --depth / 24 is {rate}: give one below 1")]
    DropPath {
        /// The default.
        rate: f64,
    },
    /// Fewer classes than the data has.
    #[error("--classes {classes}: the data has {data}")]
    Classes {
        /// Classes asked for.
        classes: usize,
        /// Classes of the data.
        data: usize,
    },
    /// Sizes that make no transformer.
    #[error("--depth, --width, --heads: {0}")]
    Size(var_kernel::model::ConfigError),
}

impl TrainConfig {
    /// How the order of an epoch comes about.
    pub fn order(&self) -> OrderOptions {
        OrderOptions { shuffle: !self.no_shuffle, balance: self.balance }
    }

    /// Values of every iteration, in epochs of `epoch` iterations, of a transformer `model` that `ranks`
    /// ranks train.
    ///
    /// # Errors
    /// If fields do not go together.
    pub fn hyperparameters(
        &self,
        epoch: u64,
        model: &VarConfig,
        ranks: usize,
    ) -> Result<VarHyperparameters, TrainConfigError> {
        check_batch(self.batch, self.microbatches, ranks)?;
        let iterations = self.iterations.unwrap_or(epoch * u64::from(self.epochs));
        let epochs = iterations as f64 / epoch as f64;
        let or = |given: f64, default: f64| if given == 0.0 { default } else { given };
        let in_iterations = |epochs: f64| epochs * epoch as f64;
        let warmup = in_iterations(or(self.warmup, epochs / 50.0));
        // As the published trainer rounds it: a half to the even number.
        let rounded = warmup.round_ties_even() as u64;
        if rounded > iterations {
            return Err(TrainConfigError::Warmup { warmup: self.warmup, epochs });
        }
        let pg = self.progressive;
        let schedule = Schedule {
            decay: if pg > 0.0 && pg < 1.0 { Decay::Bent { at: pg } } else { self.decay },
            peak: VarHyperparameters::peak_rate(self.base_rate, self.batch),
            start: self.warmup_start,
            end: self.final_rate,
            warmup: rounded,
            iterations,
            weight_decay: self.weight_decay,
            weight_decay_end: or(self.weight_decay_end, self.weight_decay),
        };
        let progressive = (pg > 0.0).then(|| Progressive {
            first: self.progressive_first.into(),
            warmup,
            complete: pg * iterations as f64,
            rise: in_iterations(or(self.progressive_warmup, epochs / 300.0)),
        });
        if let Some(Progressive { first, complete, .. }) = progressive {
            let (progressive, scales) = (pg, model.ladder.scales());
            if first + 1 >= scales {
                return Err(TrainConfigError::NoLaterScale { progressive, first, scales });
            }
            if complete <= warmup {
                return Err(TrainConfigError::WithinWarmup { progressive, complete, warmup });
            }
        }
        let depth = self.drop_path.map_or(0.1 * model.depth as f64 / 24.0, f64::from);
        if depth >= 1.0 {
            return Err(TrainConfigError::DropPath { rate: depth });
        }
        Ok(VarHyperparameters {
            batch: self.batch,
            parts: self.microbatches,
            schedule,
            clip: self.clip,
            smoothing: self.label_smoothing,
            precision: self.precision,
            progressive,
            dropout: Dropout { classes: self.class_dropout.into(), depth },
            average: self.ema.into(),
            seed: self.seed,
        })
    }

    /// Whether the weights at an iteration do not depend on the run's length, so that it may be
    /// lengthened.
    pub fn is_of_any_length(&self) -> bool {
        let end = self.weight_decay_end;
        let steady_decay = end == 0.0 || end == self.weight_decay;
        self.final_rate == 1.0 && self.warmup > 0.0 && steady_decay && self.progressive == 0.0
    }
}

/// Refuses a batch that cannot be divided evenly.
pub(super) fn check_batch(
    batch: u32,
    microbatches: u32,
    ranks: usize,
) -> Result<(), TrainConfigError> {
    if (batch as usize).is_multiple_of(microbatches as usize * ranks) {
        return Ok(());
    }
    Err(TrainConfigError::Batch { batch, microbatches, ranks })
}

/// Sizes of a transformer, as far as its VQVAE and its data do not decide them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct VarSize {
    /// Blocks.
    pub depth: usize,
    /// Width of a row; none for 64 × depth.
    pub width: Option<usize>,
    /// Attention heads; none for width / 64.
    pub heads: Option<usize>,
    /// Classes; none for those of the data.
    pub classes: Option<usize>,
    /// Whether queries and keys are of unit length.
    pub unit_length: bool,
    /// Whether one AdaLN projection serves all blocks.
    pub shared_modulation: bool,
}

impl Default for VarSize {
    fn default() -> Self {
        Self {
            depth: 16,
            width: None,
            heads: None,
            classes: None,
            unit_length: true,
            shared_modulation: false,
        }
    }
}

impl VarSize {
    /// The transformer on the tokens of `vqvae`, for data of so many classes.
    ///
    /// # Errors
    /// If the sizes make no transformer, or the data has more classes.
    pub fn config(&self, vqvae: &VqvaeConfig, data: usize) -> Result<VarConfig, TrainConfigError> {
        let width = self.width.unwrap_or(64 * self.depth);
        let classes = self.classes.unwrap_or(data);
        if classes < data {
            return Err(TrainConfigError::Classes { classes, data });
        }
        let config = VarConfig {
            depth: self.depth,
            width,
            heads: self.heads.unwrap_or((width / 64).max(1)),
            hidden: 4 * width,
            classes,
            codes: vqvae.codes,
            latent: vqvae.latent,
            ladder: vqvae.ladder,
            unit_length: self.unit_length,
            shared_modulation: self.shared_modulation,
        };
        config.check().map_err(TrainConfigError::Size)?;
        Ok(config)
    }
}

fn as_text<S: Serializer>(decay: &Decay, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(decay)
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decay, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn as_number<S: Serializer>(precision: &Precision, serializer: S) -> Result<S::Ok, S::Error> {
    let number = Precision::ALL.iter().position(|one| one == precision);
    serializer.serialize_u8(number.expect("one of all") as u8)
}

fn from_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Precision, D::Error> {
    let number = u8::deserialize(deserializer)?;
    let unknown = || serde::de::Error::custom(format!("precision {number}: 0, 1 or 2"));
    Precision::ALL.get(usize::from(number)).copied().ok_or_else(unknown)
}

#[cfg(test)]
mod tests;
