//! A file that grows by whole records.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use super::RunError;

/// A file open for appending. A record goes to the system in one piece: a process that is killed
/// afterward has written it.
#[derive(Debug)]
pub(super) struct Appended {
    path: PathBuf,
    file: File,
    /// Bytes of whole records.
    length: u64,
}

impl Appended {
    /// Opens the file at `path`, or makes it.
    pub(super) fn open(path: PathBuf) -> Result<Self, RunError> {
        let file = File::options().create(true).append(true).open(&path);
        let opened = file.and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) = opened.map_err(RunError::io("write", &path))?;
        Ok(Self { path, file, length })
    }

    /// Appends a record, or leaves the file as it was.
    pub(super) fn append(&mut self, record: &[u8]) -> Result<(), RunError> {
        if let Err(error) = self.file.write_all(record) {
            // A full disk may have taken half of it.
            let _ = self.file.set_len(self.length);
            return Err(RunError::io("write", &self.path)(error));
        }
        self.length += record.len() as u64;
        Ok(())
    }
}
