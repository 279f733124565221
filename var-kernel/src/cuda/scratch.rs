//! Scratch memory between two kernels of one operation.

use std::vec::Vec;

use super::memory::Memory;

/// Memory for values between two kernels of one operation.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) current: Option<Memory>,
    pub(super) taken: usize,
    /// Memory that was too small, until it is certain that nothing asks for it any more.
    pub(super) outgrown: Vec<Memory>,
}

/// Scratch memory grows in steps of this many words (16 MiB).
pub(super) const SCRATCH_STEP: usize = 1 << 22;

/// Runs of scratch memory start at a multiple of this many words.
pub(super) const SCRATCH_ALIGNED: usize = 64;
