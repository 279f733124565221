//! Hyperparameters of the transformer's training.

use super::dropout::Dropout;
use super::precision::Precision;
use super::progressive::{Progressive, ProgressiveStage};
use crate::optim::schedule::Schedule;
use var_kernel::model::Ladder;

/// How a transformer is trained (MODEL.md, section 7).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VarHyperparameters {
    /// Images of one update, of all ranks together (`--bs`).
    pub batch: u32,
    /// Parts that a rank's share of the batch is learned in, one after the other (`--ac`).
    pub parts: u32,
    /// Learning rate and weight decay of each iteration.
    pub schedule: Schedule,
    /// The greatest norm of a gradient; 0 for no clipping (`--tclip`).
    pub clip: f64,
    /// Label smoothing, 0 to 1 (`--ls`).
    pub smoothing: f32,
    /// Precision of the blocks (`--fp16`).
    pub precision: Precision,
    /// Coarse scales first, if any are kept back (`--pg`).
    pub progressive: Option<Progressive>,
    /// Classes and halves of blocks that are left out.
    pub dropout: Dropout,
    /// Decay of the average of the weights; 0 for no average (`--ema`).
    pub average: f64,
    /// Seed of all random numbers.
    pub seed: u64,
}

impl VarHyperparameters {
    /// The learning rate of a global batch: `base · batch / 256`.
    pub fn peak_rate(base: f64, batch: u32) -> f64 {
        base * f64::from(batch) / 256.0
    }

    /// Scales and weights of the loss at `iteration`.
    pub fn stage(&self, iteration: u64, ladder: &Ladder) -> ProgressiveStage {
        match &self.progressive {
            Some(progressive) => progressive.stage(iteration, ladder),
            None => ProgressiveStage::whole(ladder),
        }
    }
}
