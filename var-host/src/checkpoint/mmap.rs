//! Mapping a file into memory, the one unsafe step of reading a checkpoint.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Maps the whole of `file` for reading.
pub(super) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is read-only and private to this process. Its bytes would change under
    // us only if another process wrote into the same file in place; checkpoints are replaced by
    // renaming (`atomic_file`), which leaves the mapped file as it is. No invariant of a type
    // rests on the contents: every element type read from them is valid for all bit patterns.
    unsafe { Mmap::map(file) }
}
