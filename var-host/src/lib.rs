//! Files, threads and memory for [`var_kernel`].
//!
//! | module | holds |
//! |---|---|
//! | [`checkpoint`] | safetensors and PyTorch files: mapped, read, written |
//! | [`model`] | configuration read off a checkpoint, weights by name, the model file |
//! | `card` | a model on a graphics card (feature `cuda`) |
//! | [`engine`] | a model at work: sample, encode, decode, score |
//! | [`grad`] | gradients: a backend that records, and the way back |
//! | [`optim`] | how weights move: schedules, AdamW, loss scaling |
//! | [`train`] | training: parameters, loss and gradients of a batch, the update |
//! | [`pictures`] | PNG, JPEG, WebP; resize, crop, grid |
//! | [`tokens`] | the tokens file |
//! | [`data`] | pictures and tokens to train on, in batches |
//! | [`lpips`] | how far apart two pictures look |
//! | [`pool`] | threads for the kernel |
//! | [`atomic_file`] | a file that appears whole or not at all |
#![deny(unsafe_code)]

pub mod atomic_file;
#[cfg(feature = "cuda")]
pub mod card;
pub mod checkpoint;
pub mod data;
pub mod engine;
pub mod grad;
pub mod lpips;
pub mod model;
pub mod optim;
pub mod pictures;
pub mod pool;
pub mod tokens;
pub mod train;
