//! Visual autoregressive image generation: models from files, sampling, editing, scoring, training and
//! evaluation over [`var_kernel`].
//!
//! ```no_run
//! use var_host::{Model, SampleOptions};
//!
//! let mut model = Model::open("d16.safetensors")?;
//! let options = SampleOptions { cfg: 4.0, seed: 1, ..Default::default() };
//! for image in model.sample(&[207, 980], &options)? {
//!     image.save_png(format!("{}.png", image.index))?;
//! }
//! # Ok::<(), var_host::Error>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`checkpoint`] | safetensors and PyTorch files: mapped, read, written |
//! | [`model`] | configuration read off a checkpoint, weights by name, the model file |
//! | `gpu` | a model on a GPU (feature `cuda`) |
//! | [`engine`] | a model at work: sample, encode, decode, score |
//! | [`pipeline`] | the front door: [`Model`], its device and options |
//! | [`inception`] | the network that FID is defined on |
//! | [`grad`] | gradients: a backend that records, and the way back |
//! | [`optim`] | how weights move: schedules, AdamW, loss scaling |
//! | [`run`] | the folder of a training run: checkpoints, options, logs |
//! | [`train`] | training: parameters, loss and gradients of a batch, the update |
//! | [`parallel`] | processes that train one model together |
//! | [`image_folder`] | a folder of samples: whether all are of one run |
//! | [`images`] | PNG, JPEG, WebP, BMP, GIF, TIFF, Netpbm; resize, crop, grid |
//! | [`npz`] | NumPy's archives of arrays, as streams |
//! | [`tokens`] | the tokens file |
//! | [`data`] | images and tokens to train on, in batches |
//! | [`lpips`] | how far apart two images look |
//! | [`pool`] | threads for the kernel |
//! | [`mod@evaluate`] | how good samples are: FID, Inception Score, precision, recall |
//! | [`scaling`] | how loss falls with the size of the model |
//! | [`plural`] | numbers with their nouns, for messages |
//! | [`atomic_file`] | a file that appears whole or not at all |
//!
//! | feature | adds |
//! |---|---|
//! | `torch`, on by default | reading files of `torch.save`; without it they are refused by name |
//! | `train`, on by default | all that training and evaluation want: `data`, `evaluate`, `grad`, `image_folder`, `inception`, `lpips`, `npz`, `optim`, `parallel`, `run`, `scaling`, `train` |
//! | `cuda` | GPUs |
//! | `mpi` | ranks that talk by MPI |
//!
//! Without features the library loads, samples, encodes, edits and scores, and builds for
//! `wasm32-unknown-unknown` too, where it asks neither for a clock nor for random numbers.
#![deny(unsafe_code)]

pub mod atomic_file;
pub mod checkpoint;
#[cfg(feature = "train")]
pub mod data;
pub mod engine;
#[cfg(feature = "train")]
pub mod evaluate;
#[cfg(feature = "cuda")]
pub mod gpu;
#[cfg(feature = "train")]
pub mod grad;
#[cfg(feature = "train")]
pub mod image_folder;
pub mod images;
#[cfg(feature = "train")]
pub mod inception;
#[cfg(feature = "train")]
pub mod lpips;
pub mod model;
#[cfg(feature = "train")]
pub mod npz;
#[cfg(feature = "train")]
pub mod optim;
#[cfg(feature = "train")]
pub mod parallel;
pub mod pipeline;
pub mod plural;
pub mod pool;
#[cfg(feature = "train")]
pub mod run;
#[cfg(feature = "train")]
pub mod scaling;
pub mod tokens;
#[cfg(feature = "train")]
pub mod train;

pub use engine::Interrupt;
#[cfg(feature = "train")]
pub use evaluate::evaluate;
pub use images::RgbImage;
pub use pipeline::{Device, Edit, EditPart, EditPlan, Error, Image, Model, SampleOptions, Step};
#[cfg(feature = "train")]
pub use train::fit::{Intervals, RunOptions, TrainObserver};
#[cfg(feature = "train")]
pub use train::vae::VqvaeTrainConfig;
#[cfg(feature = "train")]
pub use train::{TrainConfig, TrainRun, VarSize};
pub use var_kernel::{Painting, Region};

#[cfg(test)]
#[path = "../../tests/fixture.rs"]
mod fixture;
