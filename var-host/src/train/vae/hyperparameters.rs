//! Hyperparameters of the VQVAE's training.

use crate::optim::schedule::Schedule;

/// How a VQVAE is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VqvaeHyperparameters {
    /// Images of one update, of all ranks together.
    pub batch: u32,
    /// Parts that a rank's share of the batch is learned in, one after the other.
    pub parts: u32,
    /// Learning rate and weight decay of each iteration, of both networks.
    pub schedule: Schedule,
    /// The greatest norm of a gradient; 0 for no clipping.
    pub clip: f64,
    /// Weight of each term of the loss.
    pub weights: LossWeights,
    /// Update rule of the codes.
    pub codebook: CodebookUpdate,
    /// A code is dead, and revived, if it is hit less than so many times as often as an even code; 0
    /// for no revival.
    pub revive: f32,
    /// Factor of the convolutions' initial weights.
    pub gain: f64,
    /// Decay of the average of the weights; 0 for no average.
    pub average: f64,
    /// The iteration from which the discriminator learns and is heard.
    pub discriminator_start: u64,
    /// Iterations in which its weight rises to the whole.
    pub discriminator_warmup: u64,
    /// Seed of all random numbers.
    pub seed: u64,
}

/// Weight of each term of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossWeights {
    /// Mean absolute difference of images in [−1, 1].
    pub absolute: f32,
    /// Mean squared difference.
    pub squared: f32,
    /// LPIPS.
    pub perceptual: f32,
    /// The quantizer's loss.
    pub quantizer: f32,
    /// The discriminator's judgment.
    pub adversarial: f32,
    /// The even use of the codes.
    pub usage_loss: f32,
}

/// Update rule of the codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CodebookUpdate {
    /// The optimizer, by the quantizer's loss.
    Gradient,
    /// They are the averages of their features, which keep this share of themselves in a step.
    EmaCodebook(f32),
}

impl VqvaeHyperparameters {
    /// Weight of the adversarial loss at `iteration`.
    pub fn adversarial(&self, iteration: u64) -> f32 {
        match iteration.checked_sub(self.discriminator_start) {
            None => 0.0,
            Some(since) if since < self.discriminator_warmup => {
                self.weights.adversarial
                    * ((since + 1) as f32 / (self.discriminator_warmup + 1) as f32)
            }
            Some(_) => self.weights.adversarial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::schedule::Decay;

    #[test]
    fn discriminator_gains_its_weight_over_the_warm_up() {
        let schedule = Schedule {
            decay: Decay::Cosine,
            peak: 1.0,
            start: 0.0,
            end: 0.0,
            warmup: 0,
            iterations: 9,
            weight_decay: 0.0,
            weight_decay_end: 0.0,
        };
        let hyperparameters = VqvaeHyperparameters {
            batch: 1,
            parts: 1,
            schedule,
            clip: 0.0,
            weights: LossWeights {
                absolute: 0.0,
                squared: 1.0,
                perceptual: 0.0,
                quantizer: 1.0,
                adversarial: 0.5,
                usage_loss: 0.0,
            },
            codebook: CodebookUpdate::Gradient,
            revive: 0.0,
            gain: 1.0,
            average: 0.0,
            discriminator_start: 2,
            discriminator_warmup: 3,
            seed: 0,
        };
        let weights = [0, 1, 2, 3, 4, 5, 6].map(|iteration| hyperparameters.adversarial(iteration));
        assert_eq!(weights, [0.0, 0.0, 0.125, 0.25, 0.375, 0.5, 0.5]);
    }
}
