//! The folder of a training run, which survives the end of its process at any moment.
//!
//! | file of the folder | written by |
//! |---|---|
//! | `config.json`, `lock` | [`settings`] |
//! | `ckpt-last.safetensors`, `ckpt-ITERATION.safetensors`, `ckpt-best.safetensors` | [`checkpoints`] |
//! | `log.jsonl` | [`log`] |
//! | `events.out.tfevents.*` | [`tensorboard`] |
//!
//! Ranks that train together are given the same options: `agreement`.
//!
//! A run begins with [`settings::begin`], which locks the folder; it goes on from
//! [`Checkpoints::newest`] and opens its [`Log`] and its [`Events`] at that iteration.

mod agreement;
mod append;
pub mod checkpoints;
mod digests;
mod error;
pub mod log;
pub mod settings;
pub mod tensorboard;

pub use agreement::check_ranks_agree;
pub use checkpoints::{Checkpoints, Saved};
pub use digests::{CONTENTS_DIGEST, DIGEST, option_of_digest};
pub use error::{RunError, SettingDifference};
pub use log::{Log, LogLine};
pub use settings::{Begun, Options, RunConfig, begin, by_name};
pub use tensorboard::Events;
