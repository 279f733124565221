//! Memory of the process, and model files replaced on disk: looked at from time to time, never by a request.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Value, json};

/// The newest observations.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    resident_bytes: AtomicU64,
    peak_bytes: AtomicU64,
    files: Vec<(PathBuf, Option<FileState>)>,
    is_replaced: AtomicBool,
}

/// A file as far as its metadata tell it from another.
#[derive(Debug, PartialEq, Eq)]
struct FileState {
    length: u64,
    modified: Option<SystemTime>,
    /// Number on its device; 0 where the system has none.
    number: u64,
}

impl FileState {
    fn of(path: &PathBuf) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let number = 0;
        Some(Self { length: metadata.len(), modified: metadata.modified().ok(), number })
    }
}

impl Observed {
    /// Of a model opened from `files` just now.
    pub(crate) fn new(files: &[PathBuf]) -> Self {
        let files = files.iter().map(|path| (path.clone(), FileState::of(path))).collect();
        let observed = Self { files, ..Self::default() };
        observed.look();
        observed
    }

    /// Looks at the process and the files anew.
    pub(crate) fn look(&self) {
        self.look_at_memory();
        let is_replaced = self.files.iter().any(|(path, opened)| FileState::of(path) != *opened);
        self.is_replaced.store(is_replaced, Ordering::Relaxed);
    }

    /// Looks at the process's memory anew.
    pub(crate) fn look_at_memory(&self) {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
            number.map_or(0, |kibibytes: u64| kibibytes * 1024)
        };
        self.resident_bytes.store(bytes("VmRSS:"), Ordering::Relaxed);
        self.peak_bytes.store(bytes("VmHWM:"), Ordering::Relaxed);
    }

    /// Whether a model file was replaced after it was opened.
    pub(crate) fn is_replaced(&self) -> bool {
        self.is_replaced.load(Ordering::Relaxed)
    }

    /// Memory as answers have it; null where the system does not say.
    pub(crate) fn memory_json(&self) -> Value {
        let known = |bytes: &AtomicU64| Some(bytes.load(Ordering::Relaxed)).filter(|b| *b > 0);
        json!({
            "resident_bytes": known(&self.resident_bytes),
            "peak_bytes": known(&self.peak_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_files_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        fs::write(&path, "one").unwrap();
        let observed = Observed::new(core::slice::from_ref(&path));
        assert!(!observed.is_replaced());
        fs::write(folder.path().join("other"), "another").unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        observed.look();
        assert!(observed.is_replaced());
    }
}
