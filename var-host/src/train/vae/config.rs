//! How a VQVAE is trained, in epochs: the options of `var train-vae` that affect training.

use serde::{Deserialize, Serialize};

use super::hyperparameters::{CodebookUpdate, LossWeights, VqvaeHyperparameters};
use crate::data::OrderOptions;
use crate::optim::schedule::{Decay, Schedule};
use crate::train::config::{TrainConfigError, check_batch};

/// How a VQVAE is trained; every field affects training.
///
/// Serialized, each field has the name of its option of `var train-vae`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct VqvaeTrainConfig {
    /// Weight of the mean absolute difference (`l1`).
    #[serde(rename = "l1")]
    pub absolute: f64,
    /// Weight of the mean squared difference (`l2`).
    #[serde(rename = "l2")]
    pub squared: f64,
    /// Weight of LPIPS, where it is part of the loss.
    pub lpips_weight: f64,
    /// Weight of the quantizer's loss (`vq`).
    #[serde(rename = "vq")]
    pub quantizer: f64,
    /// Weight of the even usage of the codes at every scale.
    pub spread: f64,
    /// Weight of the adversarial loss; 0 for no discriminator.
    pub disc_weight: f64,
    /// Share of the run before the discriminator.
    pub disc_start: f64,
    /// Share of the run in which its weight then rises.
    pub disc_warmup: f64,
    /// Channels of the discriminator's first layer, a multiple of 8.
    pub disc_channels: u16,
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
    /// Learning rate at its peak (`lr`).
    #[serde(rename = "lr")]
    pub rate: f64,
    /// Weight decay; the discriminator's is a tenth of it (`wd`).
    #[serde(rename = "wd")]
    pub weight_decay: f64,
    /// Largest norm of a gradient; 0 for no clipping.
    pub clip: f64,
    /// Share of the run in which the learning rate rises (`wp`).
    #[serde(rename = "wp")]
    pub warmup: f64,
    /// Learning rate at the start, as a share of the peak (`wp0`).
    #[serde(rename = "wp0")]
    pub warmup_start: f64,
    /// Learning rate at the end, as a share of the peak (`wpe`).
    #[serde(rename = "wpe")]
    pub final_rate: f64,
    /// Decay of an exponential moving average of the weights; 0 for none.
    pub ema: f32,
    /// Update rule of the codes.
    pub codebook: CodebookName,
    /// Decay of the averages that move the codes.
    pub codebook_decay: f32,
    /// Usage under which a code is reset, as a share of the even one; 0 for never.
    pub revive: f32,
    /// Factor of the convolutions' initial weights.
    pub gain: f64,
    /// Whether every epoch has the order of the data.
    pub no_shuffle: bool,
    /// How far classes are evened out, 0 to 1: see
    /// [`EpochOrder::balanced`](crate::data::EpochOrder::balanced).
    pub balance: Option<f64>,
    /// Seed of all random numbers.
    pub seed: u64,
}

/// Update rule of the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CodebookName {
    /// The optimizer, by the quantizer's loss.
    Gradient,
    /// Averages of their features.
    Ema,
}

impl Default for VqvaeTrainConfig {
    fn default() -> Self {
        Self {
            absolute: 0.2,
            squared: 1.0,
            lpips_weight: 1.0,
            quantizer: 1.0,
            spread: 0.05,
            disc_weight: 0.4,
            disc_start: 0.2,
            disc_warmup: 0.02,
            disc_channels: 64,
            batch: 768,
            microbatches: 1,
            epochs: 250,
            iterations: None,
            rate: 3e-4,
            weight_decay: 5e-3,
            clip: 10.0,
            warmup: 0.01,
            warmup_start: 0.005,
            final_rate: 0.3,
            ema: 0.9999,
            codebook: CodebookName::Ema,
            codebook_decay: 0.99,
            revive: 0.03,
            gain: 0.5,
            no_shuffle: false,
            balance: None,
            seed: 0,
        }
    }
}

impl VqvaeTrainConfig {
    /// How the order of an epoch comes about.
    pub fn order(&self) -> OrderOptions {
        OrderOptions { shuffle: !self.no_shuffle, balance: self.balance }
    }

    /// Values of every iteration, in epochs of `epoch` iterations, of a VQVAE that `ranks` ranks train.
    ///
    /// # Errors
    /// If the batch cannot be divided evenly.
    pub fn hyperparameters(
        &self,
        epoch: u64,
        ranks: usize,
    ) -> Result<VqvaeHyperparameters, TrainConfigError> {
        check_batch(self.batch, self.microbatches, ranks)?;
        let iterations = self.iterations.unwrap_or(epoch * u64::from(self.epochs));
        let share = |of: f64| (of * iterations as f64).round() as u64;
        let schedule = Schedule {
            decay: Decay::Cosine,
            peak: self.rate,
            start: self.warmup_start,
            end: self.final_rate,
            warmup: share(self.warmup),
            iterations,
            weight_decay: self.weight_decay,
            weight_decay_end: self.weight_decay,
        };
        Ok(VqvaeHyperparameters {
            batch: self.batch,
            parts: self.microbatches,
            schedule,
            clip: self.clip,
            weights: LossWeights {
                absolute: self.absolute as f32,
                squared: self.squared as f32,
                perceptual: self.lpips_weight as f32,
                quantizer: self.quantizer as f32,
                adversarial: self.disc_weight as f32,
                usage_loss: self.spread as f32,
            },
            codebook: match self.codebook {
                CodebookName::Gradient => CodebookUpdate::Gradient,
                CodebookName::Ema => CodebookUpdate::EmaCodebook(self.codebook_decay),
            },
            revive: self.revive,
            gain: self.gain,
            average: self.ema.into(),
            discriminator_start: share(self.disc_start),
            discriminator_warmup: share(self.disc_warmup),
            seed: self.seed,
        })
    }

    /// Whether the weights at an iteration do not depend on the run's length, so that it may be
    /// lengthened.
    pub fn is_of_any_length(&self) -> bool {
        let from_the_start = self.disc_start == 0.0 && self.disc_warmup == 0.0;
        let steady_loss = self.disc_weight == 0.0 || from_the_start;
        self.final_rate == 1.0 && self.warmup == 0.0 && steady_loss
    }
}
