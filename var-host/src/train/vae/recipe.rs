//! Hyperparameters of the VQVAE's training.

use crate::optim::schedule::Schedule;
use crate::train::recipe::average_decay;

/// How a VQVAE is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Images of one update, of all ranks together.
    pub batch: u32,
    /// Parts that a rank's share of the batch is learnt in, one after the other.
    pub parts: u32,
    /// Learning rate and weight decay of each iteration, of both networks.
    pub schedule: Schedule,
    /// The greatest norm of a gradient; 0 for no clipping.
    pub clip: f64,
    /// Weight of each term of the loss.
    pub weights: Weights,
    /// Update rule of the codes.
    pub codebook: CodebookRule,
    /// A code is dead, and revived, if it is hit less than so many times as often as an even code; 0
    /// for no revival.
    pub revive: f32,
    /// Factor of the convolutions' initial weights.
    pub gain: f64,
    /// Decay of the average of the weights; 0 for no average.
    pub average: f64,
    /// The iteration from which the discriminator learns and is heard.
    pub critic_start: u64,
    /// Iterations in which its weight rises to the whole.
    pub critic_warmup: u64,
    /// Seed of all random numbers.
    pub seed: u64,
}

/// Weight of each term of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Mean absolute difference of pictures in [−1, 1].
    pub absolute: f32,
    /// Mean squared difference.
    pub squared: f32,
    /// LPIPS.
    pub perceptual: f32,
    /// The quantizer's loss.
    pub quantizer: f32,
    /// The discriminator's judgement.
    pub adversarial: f32,
    /// The even use of the codes.
    pub spread: f32,
}

/// Update rule of the codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CodebookRule {
    /// The optimizer, by the quantizer's loss.
    Gradient,
    /// They are the averages of their features, which keep this share of themselves in a step.
    Average(f32),
}

impl Recipe {
    /// Decay of the average at update number `updates`, from 1.
    pub fn average_decay(&self, updates: u64) -> f64 {
        average_decay(self.average, updates)
    }

    /// Weight of the adversarial loss at `iteration`.
    pub fn adversarial(&self, iteration: u64) -> f32 {
        match iteration.checked_sub(self.critic_start) {
            None => 0.0,
            Some(since) if since < self.critic_warmup => {
                self.weights.adversarial * ((since + 1) as f32 / (self.critic_warmup + 1) as f32)
            }
            Some(_) => self.weights.adversarial,
        }
    }
}
