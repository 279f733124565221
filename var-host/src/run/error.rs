//! Errors of a run's folder.

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use super::digests::option_of_digest;
use crate::atomic_file::AtomicFileError;
use crate::checkpoint::{Digest, SaveError};
use crate::images::ImageFault;
use crate::parallel::ProcessGroupError;

/// A fault of a run's folder.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// A file or folder cannot be read, made or changed.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// The action: `read`, `write`, …
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A checkpoint cannot be written; the one before is as it was.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// A file cannot be written; it is as it was.
    #[error(transparent)]
    File(#[from] AtomicFileError),
    /// An image cannot be made a PNG file.
    #[error(transparent)]
    Image(#[from] ImageFault),
    /// Another process works in the folder.
    #[error("{}: another process is training in this folder", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// There are checkpoints, but not one of them is whole.
    #[error(
        "{}: no checkpoint in it is whole: {}; take them away to begin anew",
        folder.display(),
        faults.join("; ")
    )]
    AllDamaged {
        /// The folder.
        folder: PathBuf,
        /// The fault of each, its name first.
        faults: Vec<String>,
    },
    /// There are checkpoints, but not the options they were made with.
    #[error("{}: there is {checkpoint} in it, but no config.json", folder.display())]
    NoOptions {
        /// The folder.
        folder: PathBuf,
        /// A checkpoint.
        checkpoint: String,
    },
    /// The options of the run cannot be read.
    #[error("{}: is not the JSON object of a run's options", path.display())]
    Options {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The run was started with other options.
    #[error("{}: {}", folder.display(), SettingDifferences(differences))]
    OtherOptions {
        /// The folder.
        folder: PathBuf,
        /// Every option that differs.
        differences: Vec<SettingDifference>,
    },
    /// Ranks of one run were given other options.
    #[error("{}: ranks of one run want the same", RankDifferences { rank: *rank, differences })]
    RankOptions {
        /// The first rank that differs from rank 0.
        rank: usize,
        /// Every option that differs: rank 0's, then the other's.
        differences: Vec<SettingDifference>,
    },
    /// The ranks cannot compare their options.
    #[error(transparent)]
    ProcessGroup(#[from] ProcessGroupError),
    /// A line of a log is no record, and it is not the last.
    #[error("{}: line {line} is no record of a run", path.display())]
    LogLine {
        /// The log.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// The parser's error.
        source: serde_json::Error,
    },
}

/// An option that has changed.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingDifference {
    /// Its name, without dashes.
    pub option: String,
    /// The value the run was started with.
    pub was: Option<Value>,
    /// The value now.
    pub now: Option<Value>,
}

impl fmt::Display for SettingDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(option) = option_of_digest(&self.option) {
            let (was, now) = (short_digest(&self.was), short_digest(&self.now));
            return write!(
                f,
                "--{option}: the run was started with files of digest {was}, now it is {now}"
            );
        }
        let dashes = if self.option.chars().count() == 1 { "-" } else { "--" };
        write!(f, "{dashes}{}: the run was started ", self.option)?;
        match (&self.was, &self.now) {
            (Some(was), Some(now)) => write!(f, "with {was}, now {now}"),
            (None, Some(now)) => write!(f, "without, now {now}"),
            (Some(was), None) => write!(f, "with {was}, now without"),
            (None, None) => f.write_str("without, and is"),
        }
    }
}

/// The first digits of a digest.
fn short_digest(value: &Option<Value>) -> String {
    match value.as_ref().and_then(Value::as_str) {
        Some(text) => text.parse().map_or(text.to_owned(), |digest: Digest| digest.short()),
        None => "none".to_owned(),
    }
}

/// Differences in one line.
struct SettingDifferences<'d>(&'d [SettingDifference]);

impl fmt::Display for SettingDifferences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, difference) in self.0.iter().enumerate() {
            write!(f, "{}{difference}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Differences between rank 0 and another rank in one line.
struct RankDifferences<'d> {
    rank: usize,
    differences: &'d [SettingDifference],
}

impl fmt::Display for RankDifferences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, SettingDifference { option, was, now }) in self.differences.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            if let Some(option) = option_of_digest(option) {
                let (first, other) = (short_digest(was), short_digest(now));
                let rank = self.rank;
                write!(
                    f,
                    "{separator}--{option}: rank 0 has files of digest {first}, rank {rank} {other}"
                )?;
                continue;
            }
            write!(f, "{separator}--{option}: ")?;
            for (i, (rank, value)) in [(0, was), (self.rank, now)].into_iter().enumerate() {
                f.write_str(if i == 0 { "" } else { ", " })?;
                match value {
                    Some(value) => write!(f, "rank {rank} has {value}")?,
                    None => write!(f, "rank {rank} is without")?,
                }
            }
        }
        Ok(())
    }
}

impl RunError {
    /// Wraps the system's error.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source }
    }
}
