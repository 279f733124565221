//! The lock that a process holds while it writes into a folder of images.

use std::fs::{File, TryLockError};
use std::path::Path;

/// The file that is locked.
pub const LOCK: &str = ".lock";

/// Whether a process writes into `folder` now.
pub(super) fn is_held(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.join(LOCK)) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}
