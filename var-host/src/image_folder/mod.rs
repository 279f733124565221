//! A folder of images that one run of `var` made, as far as reading it goes: `manifest.json` lists the
//! images and the settings of the run, `.lock` is held while a process writes.
//!
//! Images of several runs in one folder are no set of samples: [`check_one_run`] refuses them.

mod error;
mod manifest;
mod one_run;

use std::fs::{File, TryLockError};
use std::path::Path;

pub use error::ImageFolderError;
pub use manifest::{Manifest, difference, is_of_unknown_model};
pub use one_run::{OneRun, check_one_run, run_of, settings};

/// The file that is locked.
pub const LOCK: &str = ".lock";

/// Whether a process writes into `folder` now.
fn is_held(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.join(LOCK)) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests;
