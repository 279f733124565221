//! Data to train on: a folder of pictures, or the tokens made of them, in batches.
//!
//! | file | holds |
//! |---|---|
//! | `folder`, `walk` | [`Folder`]: pictures in a folder for each class |
//! | `class_names` | [`ClassNames`]: numbers of classes by their names |
//! | `listing` | the digest of its listing |
//! | `order`, `plan` | order of pictures: the shuffled epoch, batches, ranks |
//! | `views` | resize, crop, mirror |
//! | `loader`, `ahead` | [`Loader`]: threads that read pictures ahead |
//! | `token_set` | [`TokenSet`]: the same from a tokens file |
//! | `random` | the random numbers of all of these |
//!
//! A batch is a function of the seed, the epoch and the position in it: neither the
//! number of threads nor that of ranks changes it, nor whether the run was broken off in between.

mod ahead;
mod class_names;
mod error;
mod folder;
mod listing;
mod loader;
mod order;
mod plan;
mod random;
mod token_set;
mod views;
mod walk;

pub(crate) use ahead::Ahead;
pub use class_names::ClassNames;
pub use error::DataError;
pub use folder::{Folder, class_names, has_class_folders, picture_files};
pub use loader::{Batch, BrokenPicture, Loader};
pub use order::Order;
pub use plan::{Batching, Pass, Place, Plan};
pub use token_set::{TokenBatch, TokenBatches, TokenSet};
pub use views::{Crops, Draw, Flip, Views};
pub use walk::LeftOut;
