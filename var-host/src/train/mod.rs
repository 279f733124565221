//! Training: parameters in flat memory, a step's loss and gradients, the update, the run.
//!
//! Read in this order:
//!
//! | module | holds |
//! |---|---|
//! | [`layout`], [`parameters`] | a network's tensors in flat memory: weights, gradients, optimizer state |
//! | [`initialize`], [`init_from`] | their initialization: random, or from another model |
//! | [`workspace`], [`storage`] | memory of a step; on the CPU or a GPU |
//! | [`transformer`] | loss and gradients of one batch |
//! | [`quantizer`] | the quantizer's training forward, and how often each code is used |
//! | [`vqvae`] | one step of the VQVAE |
//! | [`codebook`] | the care of a codebook: every code in use, at every scale |
//! | [`discriminator`], [`perceptual`] | networks that judge its images |
//! | [`buckets`] | gradients that are added up while others are computed |
//! | [`optimizer`] | clipping, AdamW, the average of weights |
//! | [`dropout`], [`precision`], [`progressive`] | dropout, half precision, coarse scales first |
//! | [`config`], [`hyperparameters`] | hyperparameters, in epochs and in iterations |
//! | [`dataset`] | data → tokens → batches |
//! | `inputs` | digests of data and VQVAE, compared when a run goes on |
//! | [`validation`] | data to validate on, walked again and again |
//! | [`metrics`] | losses and hits, scale by scale |
//! | [`teacher`] | tokens → the transformer's input, in the trainer's memory |
//! | [`trainer`] | a step: forward, loss, backward, sum over ranks, update |
//! | [`state`] | contents of a checkpoint |
//! | [`fit`] | a run from where it stands to its end, of any network |
//! | `front` | a run in one call: [`TrainRun`] |
//! | [`task`] | a transformer's run: data, validation, samples |
//! | [`vae`] | a VQVAE's trainer and run |

pub mod buckets;
pub mod codebook;
pub mod config;
pub mod dataset;
pub mod discriminator;
pub mod dropout;
mod error;
pub mod fit;
mod front;
pub mod hyperparameters;
pub mod init_from;
pub mod initialize;
mod inputs;
pub mod layout;
pub mod metrics;
pub mod optimizer;
pub mod parameters;
pub mod perceptual;
pub mod precision;
pub mod progressive;
pub mod quantizer;
pub mod state;
pub mod storage;
pub mod task;
pub mod teacher;
#[cfg(test)]
mod tests;
pub mod trainer;
pub mod transformer;
pub mod vae;
pub mod validation;
pub mod vqvae;
pub mod workspace;

pub use config::{TrainConfig, TrainConfigError, VarSize};
pub use error::TrainError;
pub(crate) use error::on;
pub use front::TrainRun;
pub use hyperparameters::VarHyperparameters;
pub use initialize::Initialization;
pub use inputs::input_digests;
pub use layout::ParameterLayout;
pub use optimizer::Optimizer;
pub use parameters::TrainParameters;
pub use precision::Precision;
pub use progressive::Progressive;
#[cfg(feature = "cuda")]
pub use storage::DeviceMemory;
pub use storage::{Host, Storage};
pub use task::VarTask;
pub use trainer::VarTrainer;
