//! Training a VQVAE (MODEL.md, section 8).
//!
//! | module | holds |
//! |---|---|
//! | [`recipe`] | hyperparameters |
//! | [`pixels`] | absolute and squared differences of pictures |
//! | [`critic`] | the discriminator in training, and when it counts |
//! | [`keeper`] | the codebook in training: hits, averages, revival |
//! | [`trainer`] | a step |
//! | [`state`] | contents of a checkpoint |
//! | [`fit`] | a run from where it stands to its end |

pub mod critic;
pub mod fit;
pub mod keeper;
mod part;
pub mod pixels;
pub mod recipe;
pub mod state;
#[cfg(test)]
mod tests;
pub mod trainer;

pub use critic::Critic;
pub use keeper::{Codebook, Keeper};
pub use recipe::{CodebookRule, Recipe, Weights};
pub use trainer::{Losses, Step, Trainer};
