//! Training: parameters in flat memory, a step's loss and gradients, the update, the run.
//!
//! Read in this order:
//!
//! | module | holds |
//! |---|---|
//! | [`parameters`] | all weights of a network, one behind the other, by name |
//! | [`initialise`], [`take_over`] | their initialization: random, or from another model |
//! | [`room`], [`home`] | memory of a step; on the CPU or a GPU |
//! | [`transformer`] | loss and gradients of one batch |
//! | [`quantizer`] | the quantizer's training forward, and how often each code is used |
//! | [`vqvae`] | one step of the VQVAE |
//! | [`codebook`] | the care of a codebook: every code in use, at every scale |
//! | [`discriminator`], [`perceptual`] | networks that judge its pictures |
//! | [`buckets`] | gradients that are added up while others are computed |
//! | [`update`] | clipping, AdamW, the average of weights |
//! | [`noise`], [`precision`], [`progressive`] | dropout, half precision, coarse scales first |
//! | [`recipe`] | hyperparameters |
//! | [`lessons`] | data → tokens → batches |
//! | [`validation`] | data to validate on, walked again and again |
//! | [`metrics`] | losses and hits, scale by scale |
//! | [`trainer`] | a step: forward, loss, backward, sum over ranks, update |
//! | [`state`] | contents of a checkpoint |
//! | `interruption` | an end before the last iteration, on all ranks at once |
//! | [`calendar`] | when a run saves, validates and shows samples |
//! | [`fit`] | a run from where it stands to its end |
//! | [`vae`] | the same for a VQVAE |

pub mod buckets;
pub mod calendar;
pub mod codebook;
pub mod discriminator;
mod error;
pub mod fit;
pub mod home;
pub mod initialise;
mod interruption;
pub mod lessons;
pub mod metrics;
pub mod noise;
pub mod parameters;
pub mod perceptual;
pub mod precision;
pub mod progressive;
pub mod quantizer;
pub mod recipe;
pub mod room;
pub mod state;
pub mod take_over;
#[cfg(test)]
mod tests;
pub mod trainer;
pub mod transformer;
pub mod update;
pub mod vae;
pub mod validation;
pub mod vqvae;

pub use error::TrainError;
#[cfg(feature = "cuda")]
pub use home::OnCard;
pub use home::{Home, OnProcessor};
pub use initialise::Initialisation;
pub use parameters::Layout;
pub use precision::Precision;
pub use progressive::Progressive;
pub use recipe::Recipe;
pub use trainer::Trainer;
pub use update::Optimizer;
