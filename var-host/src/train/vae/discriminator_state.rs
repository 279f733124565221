//! The discriminator in training, and the weight of its loss.

use var_kernel::model::weights::FeatureShape;

use crate::train::discriminator::{DiscriminatorConfig, tensors};
use crate::train::layout::ParameterLayout;
use crate::train::optimizer::OptimizerConfig;
use crate::train::parameters::TrainParameters;
use crate::train::storage::{Host, Storage};
use crate::train::{TrainError, initialize};

/// A discriminator's weights and the optimizer's state.
pub struct DiscriminatorState<S: Storage = Host> {
    /// Its sizes.
    pub config: DiscriminatorConfig,
    /// Weights, gradients, optimizer state.
    pub parameters: TrainParameters<S>,
    /// The gradient of the microbatch under way.
    pub(super) of_part: S::Buffer,
    /// `‖∇ other losses‖ / ‖∇ judgment‖` at the decoder's last convolution in the step before, within
    /// [`DiscriminatorState::RATIOS`]: the adaptive weight (Esser and others, "Taming Transformers
    /// for High-Resolution Image Synthesis", 2021, equation 7). Of the step before, so that a batch
    /// comes to the same in any number of parts; 0 until there is one.
    pub ratio: [f32; 1],
}

impl<S: Storage> DiscriminatorState<S> {
    /// The least and the greatest ratio.
    pub const RATIOS: [f32; 2] = [0.015, 1e4];

    /// A discriminator before its first step.
    ///
    /// # Errors
    /// If the device has not the memory.
    pub fn new(
        d: &S::Device<'_>,
        config: DiscriminatorConfig,
        constants: OptimizerConfig,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let layout = ParameterLayout::new(tensors(config));
        let mut weights = vec![0.0; layout.floats()];
        initialize::convolutional(&mut weights, &layout, 1.0, seed);
        let of_part = S::zeros(d, layout.floats())?;
        let parameters = TrainParameters::new(d, layout, weights, constants, 0.0)?;
        Ok(Self { config, parameters, of_part, ratio: [0.0] })
    }

    /// Takes the norms of a step's gradients at the decoder's last convolution: of the other losses,
    /// and of the judgment.
    pub fn note_ratio(&mut self, others: f64, judgment: f64) {
        let ratio = (others / (judgment + 1e-4)) as f32;
        if ratio.is_finite() {
            self.ratio[0] = ratio.clamp(Self::RATIOS[0], Self::RATIOS[1]);
        }
    }
}

/// The grid of images of `side`.
pub(super) fn maps(images: usize, side: usize) -> FeatureShape {
    FeatureShape { batch: images, height: side, width: side }
}

#[cfg(test)]
mod tests {
    use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};

    use super::*;
    use crate::pool::Threads;
    use crate::train::vae::trainer::OPTIMIZER_CONFIG;

    #[test]
    fn ratio_of_gradients_is_kept_within_its_bounds() {
        let threads = Threads::new(1, SCRATCH_FLOATS).unwrap();
        let cpu = Cpu::new(Isa::best(), &threads);
        let config = DiscriminatorConfig { channels: 8, halvings: 1 };
        let mut discriminator_state =
            DiscriminatorState::<Host>::new(&cpu, config, OPTIMIZER_CONFIG, 1).unwrap();
        for (norms, want) in [
            ([3.0, 2.0 - 1e-4], 1.5),
            ([1e-9, 1.0], 0.015),
            ([1e9, 1.0], 1e4),
            // NaN changes nothing.
            ([f64::NAN, 1.0], 1e4),
        ] {
            discriminator_state.note_ratio(norms[0], norms[1]);
            assert!(
                (discriminator_state.ratio[0] - want).abs() <= 1e-6 * want,
                "{norms:?}: {:?}",
                discriminator_state.ratio
            );
        }
    }
}
