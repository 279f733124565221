//! Checkpoints of a run: written whole or not at all, checksummed, the older ones kept for when the
//! newest is damaged.

use core::error::Error;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::RunError;
use crate::checkpoint::{Checkpoint, CheckpointError, Record, write_uncommitted};

/// The newest checkpoint.
pub const LAST: &str = "ckpt-last.safetensors";
/// The one with the best validation.
pub const BEST: &str = "ckpt-best.safetensors";

/// The key of the iteration in a checkpoint's metadata.
const ITERATION: &str = "iteration";
/// Text before and after the iteration in the name of an older checkpoint.
const NUMBERED: [&str; 2] = ["ckpt-", ".safetensors"];
/// Suffix of the name of a damaged checkpoint that is set aside.
const DAMAGED: &str = ".damaged";
/// Suffix of the name of a checkpoint that is set aside because the run goes on from an earlier one.
const NEWER: &str = ".newer";

/// The checkpoints in one folder.
///
/// A checkpoint is a model file (see [`model::convert`](mod@crate::model::convert)) with the trainer's
/// own tensors under `train.` beside the model's: every command that takes a model takes it.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

/// A checkpoint with a valid checksum.
#[derive(Debug)]
pub struct Saved {
    /// Its tensors and metadata.
    pub checkpoint: Checkpoint,
    /// The iteration it was saved at.
    pub iteration: u64,
    /// Its file.
    pub path: PathBuf,
}

impl Checkpoints {
    /// The checkpoints in `folder`, of which `keep` stay, the newest included; the best one is not
    /// counted.
    ///
    /// # Panics
    /// If `keep` is zero.
    #[track_caller]
    pub fn new(folder: &Path, keep: usize) -> Self {
        assert!(keep > 0, "checkpoints: none is to be kept");
        Self { folder: folder.to_path_buf(), keep }
    }

    /// Writes `ckpt-last.safetensors`; the one before stays as `ckpt-ITERATION.safetensors`. Returns
    /// the path. Older ones than are to be kept stay until [`remove_surplus`](Self::remove_surplus).
    ///
    /// `iteration` and a checksum join the `metadata`, as `iteration` and `checksum`. At every moment
    /// the folder holds a whole checkpoint, if it held one before, and the temporary file is on the
    /// disk before it gets its name.
    ///
    /// In a streak of refused updates, `stuck_since` is the iteration at which it began: a newest
    /// checkpoint from within the streak gives way to the new one, which has the same weights.
    ///
    /// # Errors
    /// If the new checkpoint cannot be written. The newest checkpoint before is as it was.
    ///
    /// # Panics
    /// If a record gives more or fewer bytes than its shape and type ask for.
    pub fn save(
        &self,
        iteration: u64,
        records: Vec<Record<'_>>,
        metadata: BTreeMap<String, String>,
        stuck_since: Option<u64>,
    ) -> Result<PathBuf, RunError> {
        let path = self.folder.join(LAST);
        let file = write_uncommitted(&path, records, with_iteration(metadata, iteration))?;
        self.keep_last_as_numbered(iteration, stuck_since)?;
        file.commit()?;
        Ok(path)
    }

    /// Writes a checkpoint as `ckpt-best.safetensors`, over the one before. Returns the path.
    ///
    /// # Errors
    /// If it cannot be written. The one before is as it was.
    ///
    /// # Panics
    /// As [`save`](Self::save).
    pub fn save_best(
        &self,
        iteration: u64,
        records: Vec<Record<'_>>,
        metadata: BTreeMap<String, String>,
    ) -> Result<PathBuf, RunError> {
        let path = self.folder.join(BEST);
        write_uncommitted(&path, records, with_iteration(metadata, iteration))?.commit()?;
        Ok(path)
    }

    /// The newest checkpoint with a valid checksum, `None` if there are no checkpoints.
    ///
    /// `warn` is told of each newer one that is damaged. It is set aside under a name that ends in
    /// `.damaged`, so that it is not counted among those to be kept. Where `ckpt-last` is older than
    /// others, since somebody took the run back, those get names that end in `.newer`: should `ckpt-last`
    /// be damaged later, they are not what the run goes on from.
    ///
    /// # Errors
    /// [`RunError::AllDamaged`] if there are checkpoints and none is whole; if the folder cannot be
    /// read, or a damaged checkpoint not renamed.
    pub fn newest(&self, warn: &mut dyn FnMut(String)) -> Result<Option<Saved>, RunError> {
        let mut candidates = Vec::new();
        if fs::symlink_metadata(self.folder.join(LAST)).is_ok() {
            candidates.push((LAST.to_owned(), None));
        }
        for iteration in self.numbered()? {
            candidates.push((numbered(iteration), Some(iteration)));
        }
        let mut faults = Vec::new();
        for (name, iteration) in &candidates {
            let path = self.folder.join(name);
            match read(&path, *iteration) {
                Ok(saved) => {
                    self.set_aside(&faults, name, warn)?;
                    if iteration.is_none() {
                        self.set_newer_aside(saved.iteration, warn)?;
                    }
                    return Ok(Some(saved));
                }
                Err(fault) => faults.push((name.clone(), fault)),
            }
        }
        if faults.is_empty() {
            return Ok(None);
        }
        let faults = faults.into_iter().map(|(name, fault)| format!("{name}: {fault}")).collect();
        Err(RunError::AllDamaged { folder: self.folder.clone(), faults })
    }

    /// Renames the damaged checkpoints that were passed by, once a whole one was found: otherwise
    /// the next start would find none, and begin anew.
    fn set_aside(
        &self,
        faults: &[(String, String)],
        found: &str,
        warn: &mut dyn FnMut(String),
    ) -> Result<(), RunError> {
        for (name, fault) in faults {
            let path = self.folder.join(name);
            let aside = format!("{name}{DAMAGED}");
            fs::rename(&path, self.folder.join(&aside)).map_err(RunError::io("rename", &path))?;
            warn(format!("{}: {fault}; renamed to {aside}, going on with {found}", path.display()));
        }
        Ok(())
    }

    /// Renames the numbered checkpoints of more iterations than `iteration`, that of `ckpt-last`.
    fn set_newer_aside(
        &self,
        iteration: u64,
        warn: &mut dyn FnMut(String),
    ) -> Result<(), RunError> {
        for newer in self.numbered()?.into_iter().filter(|number| *number > iteration) {
            let path = self.folder.join(numbered(newer));
            let aside = format!("{}{NEWER}", numbered(newer));
            fs::rename(&path, self.folder.join(&aside)).map_err(RunError::io("rename", &path))?;
            warn(format!(
                "{}: is newer than {LAST}, of iteration {iteration}; renamed to {aside}, going on with \
                 {LAST}",
                path.display()
            ));
        }
        Ok(())
    }

    /// Gives the newest checkpoint its second name, `ckpt-ITERATION.safetensors`, unless it is of
    /// `iteration` like the one that takes its place, or from within the streak of refused updates.
    fn keep_last_as_numbered(
        &self,
        iteration: u64,
        stuck_since: Option<u64>,
    ) -> Result<(), RunError> {
        let last = self.folder.join(LAST);
        // Whatever cannot be opened is no checkpoint to be kept: `newest` refused or renamed it.
        let found = Checkpoint::open(&last).ok().and_then(|last| iteration_of(&last));
        let gives_way =
            |found| found == iteration || stuck_since.is_some_and(|since| found > since);
        let Some(found) = found.filter(|found| !gives_way(*found)) else { return Ok(()) };
        let kept = self.folder.join(numbered(found));
        let failed = || RunError::io("rename", &last);
        match fs::remove_file(&kept) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
            _ => {}
        }
        // With two names for one file there is a newest checkpoint at every moment. Where the
        // system has no such names, `newest` finds it by its number until the new one is named.
        fs::hard_link(&last, &kept).or_else(|_| fs::rename(&last, &kept)).map_err(failed())
    }

    /// Removes the checkpoints older than that of `iteration`, the newest, which are not to be kept:
    /// once an update has shown that its weights can be learned from. Newer ones stay and are not counted.
    ///
    /// # Errors
    /// If the folder cannot be read or a checkpoint not removed.
    pub fn remove_surplus(&self, iteration: u64) -> Result<(), RunError> {
        let older = self.numbered()?.into_iter().filter(|number| *number < iteration);
        for number in older.skip(self.keep - 1) {
            let path = self.folder.join(numbered(number));
            fs::remove_file(&path).map_err(RunError::io("remove", &path))?;
        }
        Ok(())
    }

    /// The newest checkpoint of fewer iterations than `iteration`, the best one among them.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn newest_before(&self, iteration: u64) -> Result<Option<PathBuf>, RunError> {
        let mut found: Vec<(u64, PathBuf)> = Vec::new();
        for name in [BEST, LAST] {
            let path = self.folder.join(name);
            let saved = Checkpoint::open(&path).ok().and_then(|saved| iteration_of(&saved));
            found.extend(saved.map(|saved| (saved, path)));
        }
        let older = self.numbered()?.into_iter();
        found.extend(older.map(|number| (number, self.folder.join(numbered(number)))));
        let before = found.into_iter().filter(|(saved, _)| *saved < iteration);
        Ok(before.max_by_key(|(saved, _)| *saved).map(|(_, path)| path))
    }

    /// Iterations of the older checkpoints, the newest first.
    fn numbered(&self) -> Result<Vec<u64>, RunError> {
        let entries = fs::read_dir(&self.folder).map_err(RunError::io("read", &self.folder))?;
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry.map_err(RunError::io("read", &self.folder))?.file_name();
            let number = name.to_str().and_then(|name| {
                let number = name.strip_prefix(NUMBERED[0])?.strip_suffix(NUMBERED[1])?;
                number.parse().ok()
            });
            // Only names that `numbered` gives: not `ckpt-007`.
            numbers.extend(number.filter(|number| name.to_str() == Some(&numbered(*number))));
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }
}

/// The file of an older checkpoint.
fn numbered(iteration: u64) -> String {
    format!("{}{iteration}{}", NUMBERED[0], NUMBERED[1])
}

fn with_iteration(
    mut metadata: BTreeMap<String, String>,
    iteration: u64,
) -> BTreeMap<String, String> {
    metadata.insert(ITERATION.to_owned(), iteration.to_string());
    metadata
}

fn iteration_of(checkpoint: &Checkpoint) -> Option<u64> {
    checkpoint.metadata().get(ITERATION)?.parse().ok()
}

/// A whole checkpoint, of the iteration its name says; or its fault.
fn read(path: &Path, named: Option<u64>) -> Result<Saved, String> {
    let checkpoint = Checkpoint::open(path).map_err(|error| match error {
        CheckpointError::Io { source, .. } => source.to_string(),
        CheckpointError::Format { source, .. } => in_words(&source),
    })?;
    checkpoint.verify().map_err(|error| in_words(&error))?;
    let iteration = iteration_of(&checkpoint).ok_or("its metadata has no iteration")?;
    match named {
        Some(named) if named != iteration => Err(format!("is of iteration {iteration}")),
        _ => Ok(Saved { checkpoint, iteration, path: path.to_path_buf() }),
    }
}

/// An error and its sources in one line.
fn in_words(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", in_words(source)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
