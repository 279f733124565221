//! Ctrl-C and termination: the process ends at once and leaves no half-written file.

use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use var_host::atomic_file;

/// The exit code shells give a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Files to remove when the process is interrupted.
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Sets what happens on Ctrl-C and on termination.
///
/// Everything that is kept is written under a temporary name and renamed, so there is nothing to
/// wait for: an immediate end is a clean one.
pub(crate) fn install() -> Result<()> {
    let end = || {
        atomic_file::abandon_unfinished();
        for path in TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // The process ends whether or not the system obeys.
            let _ = fs::remove_file(path);
        }
        process::exit(INTERRUPTED);
    };
    ctrlc::set_handler(end).context("cannot wait for Ctrl-C")
}

/// Has `path` removed, should the process be interrupted.
pub(crate) fn remove_when_interrupted(path: PathBuf) {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner).push(path);
}
