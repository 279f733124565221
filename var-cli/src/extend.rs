//! Training runs that go on for longer than they were begun for.
//!
//! Learning rate and weight decay are functions of the share of a run that has passed: another length
//! means other rates from the first iteration on. Where they are constant, a run of another length is
//! the same run.

use std::path::Path;

use anyhow::Error;
use var_host::run::{RunConfig, RunError};

/// The options that say how long a run is.
const LENGTH: [&str; 2] = ["ep", "iterations"];

/// Lets a run be of another length when it goes on.
pub(crate) fn release_length(config: &mut RunConfig) {
    config.release(&LENGTH);
}

/// How to go on after the run in `folder`, which has done all its iterations.
pub(crate) fn advice(folder: &Path, is_of_any_length: bool) -> String {
    let longer = "more --ep or --iterations lengthen it".to_owned();
    let how = if is_of_any_length { longer } else { anew(folder) };
    format!("{}: had ended already: {how}", folder.display())
}

/// How a new run goes on where the run in `folder` has ended.
fn anew(folder: &Path) -> String {
    let last = folder.join("ckpt-last.safetensors");
    format!("a new run goes on from its weights, with --init-from {}", last.display())
}

/// Says at an `error` of beginning the run in `folder` how to go on, if it is about the run's length.
pub(crate) fn explain(error: RunError, folder: &Path) -> Error {
    let is_length = match &error {
        RunError::OtherOptions { differences, .. } => {
            differences.iter().all(|difference| LENGTH.contains(&&*difference.option))
        }
        _ => false,
    };
    let error = Error::from(error);
    let place = format!("--out {}", folder.display());
    error.context(match is_length {
        true => format!("{place}: its learning rates depend on its length: {}", anew(folder)),
        false => place,
    })
}
