//! Training a VQVAE (MODEL.md, section 8).
//!
//! | module | holds |
//! |---|---|
//! | [`config`], [`recipe`] | hyperparameters, in epochs and in iterations |
//! | [`pixels`], [`losses`] | terms of the loss |
//! | [`critic`] | the discriminator in training, and when it counts |
//! | [`keeper`] | the codebook in training: usage, averages, dead codes |
//! | `microbatch` | losses and gradients of one microbatch |
//! | [`trainer`] | a step |
//! | [`task`] | a run's data, validation, reconstructions |

pub mod config;
pub mod critic;
pub mod keeper;
pub mod losses;
mod microbatch;
pub mod pixels;
pub mod recipe;
pub mod task;
#[cfg(test)]
mod tests;
pub mod trainer;

pub use config::{CodebookName, VqvaeTrainConfig};
pub use critic::Critic;
pub use keeper::{Codebook, Keeper};
pub use losses::Losses;
pub use recipe::{CodebookRule, Recipe, Weights};
pub use task::{Crop, VqvaeTask};
pub use trainer::{VqvaeStep, VqvaeTrainer};
