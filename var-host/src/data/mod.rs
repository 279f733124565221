//! Data to train on: a folder of images, or the tokens made of them, in batches.
//!
//! | file | holds |
//! |---|---|
//! | `folder`, `walk` | [`Folder`]: images in a folder for each class |
//! | `class_names` | [`ClassNames`]: numbers of classes by their names |
//! | `listing` | the digest of its listing |
//! | `order`, `sampler` | order of images: the shuffled epoch, batches, ranks |
//! | `crops` | resize, crop, mirror |
//! | `loader`, `prefetch` | [`Loader`]: threads that read images ahead |
//! | `token_set` | [`TokenSet`]: the same from a tokens file |
//! | `random` | the random numbers of all of these |
//!
//! A batch is a function of the seed, the epoch and the position in it: neither the
//! number of threads nor that of ranks changes it, nor whether the run was broken off in between.

mod class_names;
mod crops;
mod error;
mod folder;
mod listing;
mod loader;
mod order;
mod prefetch;
mod random;
mod sampler;
mod token_set;
mod walk;

pub use class_names::ClassNames;
pub use crops::{AugmentKey, CropPositions, CropSpec, Flip};
pub use error::DataError;
pub use folder::{Folder, class_names, has_class_folders, image_files};
pub use loader::{BrokenImage, ImageBatch, Loader};
pub use order::{EpochOrder, OrderOptions};
pub(crate) use prefetch::Prefetcher;
pub use sampler::{BatchCursor, BatchSampler, SamplerConfig, SamplerMode};
pub use token_set::{TokenBatch, TokenBatches, TokenSet};
pub use walk::LeftOut;
