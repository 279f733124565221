//! A network in training with its data, as the loop drives it.

use std::path::Path;

use serde::Serialize;

use super::{Context, LogMetrics, Score};
use crate::data::{BatchCursor, BatchSampler, OrderOptions, SamplerMode};
use crate::images::RgbImage;
use crate::parallel::ProcessGroup;
use crate::train::state::{Described, TrainState};
use crate::train::{Storage, TrainError};

/// A network in training, and its data.
///
/// All ranks make the same calls in the same order.
pub trait Task {
    /// Memory that it trains in.
    type Storage: Storage;
    /// Means over an iteration.
    type LogMetrics: LogMetrics + Serialize;
    /// Means over a validation.
    type Report: LogMetrics + Score + Serialize;
    /// Sums over the part of a validation that is done.
    type Sums;

    /// The command of the run, for the parameters in images.
    const COMMAND: &'static str;
    /// First word of the files of the images that show progress.
    const SAMPLES: &'static str;

    /// Items of the training data.
    fn items(&self) -> usize;

    /// The class of each of them.
    fn labels(&self) -> Vec<u32>;

    /// Size and order of its batches.
    fn sampler_options(&self) -> SamplerOptions;

    /// Iterations of the whole run.
    fn iterations(&self) -> u64;

    /// The factor of the loss in half precision.
    fn loss_scale(&self) -> Option<f32> {
        None
    }

    /// The device, the state, and the model file's configuration.
    fn checkpoint(&mut self) -> CheckpointParts<'_, Self::Storage>;

    /// Lets the devices of all ranks find each other; returns a warning if they could but do not.
    ///
    /// # Errors
    /// If another rank cannot be reached.
    fn join(&mut self, ranks: &dyn ProcessGroup) -> Result<Option<&'static str>, TrainError>;

    /// Opens the training data at a batch, up to the epoch before `until`.
    ///
    /// # Errors
    /// If there is no such batch, or threads cannot be started.
    fn open(
        &mut self,
        plan: &BatchSampler,
        from: BatchCursor,
        until: u32,
    ) -> Result<(), TrainError>;

    /// Trains on the next batch; with metrics if `detail` asks for them.
    ///
    /// # Errors
    /// If data, device or another rank fail.
    fn step(
        &mut self,
        context: &mut Context<'_>,
        iteration: u64,
        detail: Option<Detail>,
    ) -> Result<IterationStats<Self::LogMetrics>, TrainError>;

    /// Whether there is data to validate on.
    fn has_validation(&self) -> bool;

    /// Evaluates this rank's share of the validation data, until a signal comes.
    ///
    /// # Errors
    /// If data, device or another rank fail.
    fn validate(&mut self, context: &mut Context<'_>) -> Result<Self::Sums, TrainError>;

    /// The means of a validation over all ranks; none if not one image can be read.
    ///
    /// # Errors
    /// If another rank cannot be reached.
    fn report(
        &self,
        sums: Self::Sums,
        ranks: &dyn ProcessGroup,
    ) -> Result<Option<Self::Report>, TrainError>;

    /// Images that show progress, from the weights of the `checkpoint` just saved; none if there is
    /// nothing to show.
    ///
    /// # Errors
    /// If the checkpoint or data cannot be read, or the device fails.
    fn sample(&mut self, checkpoint: &Path) -> Result<Option<Samples>, TrainError>;
}

/// Size and order of batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerOptions {
    /// Items of a batch, of all ranks together.
    pub batch: u32,
    /// Seed of the order.
    pub seed: u64,
    /// How the order comes about.
    pub order: OrderOptions,
}

impl SamplerOptions {
    /// The batches of this rank.
    pub fn batching(
        &self,
        pass: SamplerMode,
        ranks: &dyn ProcessGroup,
    ) -> crate::data::SamplerConfig {
        let (rank, ranks) = (ranks.rank() as u32, ranks.size() as u32);
        let shuffle = pass == SamplerMode::Training && self.order.shuffle;
        crate::data::SamplerConfig {
            pass,
            batch: self.batch,
            rank,
            ranks,
            seed: self.seed,
            shuffle,
        }
    }
}

/// A device, and what of a task a checkpoint holds.
pub struct CheckpointParts<'t, S: Storage> {
    /// The device.
    pub device: S::Handle<'t>,
    /// The trainer's state.
    pub state: TrainState<'t, S>,
    /// The model file's configuration.
    pub described: Described<'t>,
}

/// Extent of an iteration's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Means over all scales.
    Means,
    /// Each scale by itself too.
    Scales,
}

/// Results of an iteration.
#[derive(Clone, Debug)]
pub struct IterationStats<M> {
    /// The gradient's norm before clipping; not finite if the weights were left as they were.
    pub norm: f64,
    /// The learning rate.
    pub rate: f64,
    /// The weight decay.
    pub decay: f64,
    /// Means, if they were asked for.
    pub metrics: Option<M>,
}

/// Images that show progress.
pub struct Samples {
    /// The images.
    pub grid: RgbImage,
    /// Parameters for the file beside command and iteration.
    pub parameters: Vec<(&'static str, String)>,
}
