//! Training a VQVAE (MODEL.md, section 8).
//!
//! | module | holds |
//! |---|---|
//! | [`config`], [`hyperparameters`] | hyperparameters, in epochs and in iterations |
//! | [`pixel_losses`], [`losses`] | terms of the loss |
//! | [`discriminator_state`] | the discriminator in training, and when it counts |
//! | [`codebook_state`] | the codebook in training: usage, averages, dead codes |
//! | `microbatch` | losses and gradients of one microbatch |
//! | [`trainer`] | a step |
//! | [`task`] | a run's data, validation, reconstructions |

pub mod codebook_state;
pub mod config;
pub mod discriminator_state;
pub mod hyperparameters;
pub mod losses;
mod microbatch;
pub mod pixel_losses;
pub mod task;
#[cfg(test)]
mod tests;
pub mod trainer;

pub use codebook_state::{Codebook, CodebookState};
pub use config::{CodebookName, VqvaeTrainConfig};
pub use discriminator_state::DiscriminatorState;
pub use hyperparameters::{CodebookUpdate, LossWeights, VqvaeHyperparameters};
pub use losses::VqvaeLosses;
pub use task::{CroppedFolder, VqvaeTask};
pub use trainer::{VqvaeStep, VqvaeTrainer};
