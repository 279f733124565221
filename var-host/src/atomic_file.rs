//! A file that appears under its name whole or not at all.

use core::{fmt, mem};
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;
use thiserror::Error;

/// Writes to a temporary name in the target's folder; [`commit`](Self::commit) renames it.
///
/// Dropped without a commit, the temporary file is removed and the target is as it was. Readers
/// that hold the old file open or mapped keep the old bytes.
pub struct AtomicFile {
    path: PathBuf,
    overwrite: bool,
    writer: BufWriter<NamedTempFile>,
    unfinished: Unfinished,
}

/// Removes the temporary files of everything this process is writing, and lets no other begin or
/// get its name: for a signal handler that ends the process next.
///
/// Threads that write on wait for ever.
pub fn abandon_unfinished() {
    let unfinished = unfinished();
    for path in unfinished.iter() {
        // The process ends whether or not the system obeys.
        let _ = fs::remove_file(path);
    }
    mem::forget(unfinished);
}

/// Removes the temporary files of a killed process in `folder` for final names that `ours` accepts;
/// no process may be writing them now.
///
/// # Errors
///
/// The system's, if an entry cannot be listed or removed.
pub fn remove_left_over(folder: &Path, ours: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        // The inverse of `temporary_beside`: a dot, the name, a dot, letters, the suffix.
        let inner = name.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(SUFFIX));
        if let Some((target, letters)) = inner.and_then(|inner| inner.rsplit_once('.'))
            && letters.bytes().all(|letter| letter.is_ascii_alphanumeric())
            && ours(target)
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The end of temporary names.
const SUFFIX: &str = ".part";

/// Why a file could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AtomicFileError {
    /// The target is there already and the caller did not ask for it to be replaced.
    #[error("{} exists already and was not to be overwritten", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot write {}", path.display())]
    Io {
        /// The target.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl AtomicFile {
    /// Opens a temporary file beside `path`.
    ///
    /// # Errors
    ///
    /// [`AtomicFileError::Exists`] if `path` exists and `overwrite` is false, before anything is
    /// written; [`AtomicFileError::Io`] if the folder cannot be written to.
    pub fn create(path: impl AsRef<Path>, overwrite: bool) -> Result<Self, AtomicFileError> {
        let path = path.as_ref().to_path_buf();
        if !overwrite && fs::symlink_metadata(&path).is_ok() {
            return Err(AtomicFileError::Exists { path });
        }
        let mut unfinished = unfinished();
        match temporary_beside(&path) {
            Ok(file) => {
                let entry = Unfinished(file.path().to_path_buf());
                unfinished.push(entry.0.clone());
                Ok(Self { path, overwrite, writer: BufWriter::new(file), unfinished: entry })
            }
            Err(source) => Err(AtomicFileError::Io { path, source }),
        }
    }

    /// The name the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings the bytes to the disk and gives the file its name.
    ///
    /// # Errors
    ///
    /// [`AtomicFileError::Exists`] if `path` came to be since [`create`](Self::create) and
    /// `overwrite` is false; [`AtomicFileError::Io`] otherwise. The temporary file is gone then.
    pub fn commit(self) -> Result<(), AtomicFileError> {
        let Self { path, overwrite, writer, unfinished: _entry } = self;
        match rename(writer, &path, overwrite) {
            Ok(()) => Ok(()),
            Err(source) if !overwrite && source.kind() == io::ErrorKind::AlreadyExists => {
                Err(AtomicFileError::Exists { path })
            }
            Err(source) => Err(AtomicFileError::Io { path, source }),
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.writer.seek(to)
    }
}

impl fmt::Debug for AtomicFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtomicFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Temporary names now in use by this process.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry of [`UNFINISHED`].
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        unfinished().retain(|path| *path != self.0);
    }
}

fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let prefix = format!(".{}.", name.to_string_lossy());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    // A temporary file is its owner's alone by default; this one is to become an ordinary file with
    // the mode of the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder(path))
}

fn rename(writer: BufWriter<NamedTempFile>, path: &Path, overwrite: bool) -> io::Result<()> {
    let file = writer.into_inner()?;
    file.as_file().sync_all()?;
    let named = unfinished();
    if overwrite { file.persist(path) } else { file.persist_noclobber(path) }?;
    drop(named);
    // The name is on the disk once its folder is. Some systems cannot sync a folder, and the
    // file is complete in any case.
    if cfg!(unix) {
        let _ = File::open(folder(path)).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn target_appears_at_commit_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.bin");
        let mut file = AtomicFile::create(&path, false).unwrap();
        file.write_all(b"..lo").unwrap();
        file.rewind().unwrap();
        file.write_all(b"he").unwrap();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"helo");
        assert_eq!(names(folder.path()), ["out.bin"]);
    }

    #[test]
    fn drop_leaves_the_folder_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.bin");
        fs::write(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path, true).unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        drop(file);
        assert_eq!(names(folder.path()), ["out.bin"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn existing_target_is_kept_unless_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.bin");
        let late = AtomicFile::create(&path, false).unwrap();
        fs::write(&path, b"old").unwrap();
        let early = AtomicFile::create(&path, false);
        assert!(matches!(early, Err(AtomicFileError::Exists { .. })));
        assert!(matches!(late.commit(), Err(AtomicFileError::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        AtomicFile::create(&path, true).unwrap().commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(names(folder.path()), ["out.bin"]);
    }

    #[test]
    fn leftovers_of_a_killed_process_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = AtomicFile::create(folder.path().join("out.bin"), false).unwrap();
        file.write_all(b"half").unwrap();
        mem::forget(file);
        for name in ["other.part", ".out.bin.part", ".log.jsonl.Ab3.part", ".out.bin.a-b.part"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(names(folder.path()).len(), 5);
        remove_left_over(folder.path(), |name| name == "out.bin").unwrap();
        let left = [".log.jsonl.Ab3.part", ".out.bin.a-b.part", ".out.bin.part", "other.part"];
        assert_eq!(names(folder.path()), left);
    }

    #[test]
    fn missing_folder_is_an_error_that_names_the_target() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none").join("out.bin");
        let error = AtomicFile::create(&path, false).unwrap_err();
        assert!(error.to_string().contains("out.bin"), "{error}");
    }
}
