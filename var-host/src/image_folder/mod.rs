//! A folder of images that one run of `var` made, as far as reading it goes: `manifest.json` lists the
//! images and the settings of the run, `.lock` is held while a process writes.
//!
//! Images of several runs in one folder are no set of samples: [`check_one_run`] refuses them.

mod error;
mod lock;
mod manifest;
mod one_run;

pub use error::ImageFolderError;
pub use lock::LOCK;
pub use manifest::{Manifest, difference, is_of_unknown_model};
pub use one_run::{OneRun, check_one_run, run_of, settings};

#[cfg(test)]
mod tests;
