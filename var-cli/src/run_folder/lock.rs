//! That processes of different settings do not write into one folder at once.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use var_host::image_folder::LOCK;

use crate::args::Session;

/// A folder's lock: exclusive while a process prepares the folder, shared while it writes. The system
/// gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    /// Whether this process made the file.
    is_new: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Exclusive,
    /// Another process has it.
    Others,
    Shared,
    /// The file system has no locks.
    None,
}

impl Lock {
    /// Takes the lock of `folder` for this process alone, unless another writes there.
    pub(super) fn open(folder: &Path, session: &Session) -> Result<Self> {
        let path = folder.join(LOCK);
        loop {
            let is_new = !path.exists();
            let file = File::options().create(true).truncate(false).write(true).open(&path);
            let file = file.with_context(|| format!("{}: cannot be made", path.display()))?;
            let state = match file.try_lock() {
                Ok(()) => State::Exclusive,
                Err(TryLockError::WouldBlock) => State::Others,
                Err(TryLockError::Error(fault)) => {
                    session.warn(&format!(
                        "{}: the file system has no locks ({fault}): see to it that no two runs write \
                         here at once",
                        folder.display()
                    ));
                    State::None
                }
            };
            if is_same(&file, &path) {
                return Ok(Self { file, path, is_new, state });
            }
            // A process that gave up has removed the file in between.
        }
    }

    /// Whether no other process writes.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self.state, State::Exclusive | State::None)
    }

    /// Lets processes in that write with this one; waits while another prepares the folder.
    pub(super) fn share(&mut self) -> Result<()> {
        if self.state == State::None {
            return Ok(());
        }
        let of_file = || self.path.display().to_string();
        // Whoever comes in between finds the manifest, and this process looks at it again.
        if self.state == State::Exclusive {
            self.file.unlock().with_context(of_file)?;
        }
        self.file.lock_shared().with_context(of_file)?;
        self.state = State::Shared;
        Ok(())
    }

    /// Leaves the folder as it was, for the sake of `fault`.
    pub(super) fn give_up(self, fault: Error) -> Error {
        if self.is_new && self.is_alone() {
            // Without it the next process makes a new one.
            let _ = fs::remove_file(&self.path);
        }
        fault
    }
}

/// Whether `file` is still what `path` names.
#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> bool {
    use std::io;
    use std::os::unix::fs::MetadataExt;

    let same = || -> io::Result<bool> {
        let (open, named) = (file.metadata()?, fs::metadata(path)?);
        Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
    };
    same().unwrap_or(false)
}

#[cfg(not(unix))]
fn is_same(_: &File, path: &Path) -> bool {
    path.exists()
}
