//! Scratch memory between two kernels of one operation.

use std::vec::Vec;

use super::{Cuda, CudaError, Memory};
use crate::memory::Floats;
use crate::remote::WORD;

/// Memory for values between two kernels of one operation.
#[derive(Default)]
pub(super) struct Scratch {
    current: Option<Memory>,
    taken: usize,
    /// Memory that was too small, until it is certain that nothing asks for it any more.
    pub(super) outgrown: Vec<Memory>,
}

/// Scratch memory grows in steps of this many words (16 MiB).
pub(super) const SCRATCH_STEP: usize = 1 << 22;

/// Runs of scratch memory start at a multiple of this many words.
const SCRATCH_ALIGNED: usize = 64;

impl Cuda {
    /// Begins an operation's use of scratch memory: that of the last one is free again.
    pub fn fresh_scratch(&self) {
        self.scratch.borrow_mut().taken = 0;
    }

    /// `words` words of scratch memory, good for the operation at hand.
    pub fn scratch(&self, words: usize) -> Result<u64, CudaError> {
        let mut scratch = self.scratch.borrow_mut();
        let needed = scratch.taken + words.next_multiple_of(SCRATCH_ALIGNED);
        let has = scratch.current.as_ref().map_or(0, |memory| memory.len());
        if has < needed {
            let memory = self.memory(needed.next_multiple_of(SCRATCH_STEP))?;
            // Scratch of this operation stays where it is.
            scratch.taken = 0;
            if let Some(small) = scratch.current.replace(memory) {
                scratch.outgrown.push(small);
            }
        }
        let start = scratch.taken;
        scratch.taken += words.next_multiple_of(SCRATCH_ALIGNED);
        let memory = scratch.current.as_ref().expect("it was made above");
        Ok(memory.address() + WORD * start as u64)
    }

    /// Reads words of the scratch memory of the operation at hand, at an address in it.
    ///
    /// # Panics
    /// If they are not all in it; also within a [`Device::section`](crate::memory::Device::section).
    pub fn download_scratch(&self, to: &mut [u32], from: u64) -> Result<(), CudaError> {
        let scratch = self.scratch.borrow();
        let current = scratch
            .current
            .as_deref()
            .map_or(0..0, |run| run.address()..run.address() + WORD * scratch.taken as u64);
        let end = from + WORD * to.len() as u64;
        assert!(current.start <= from && end <= current.end, "these words are not scratch memory");
        self.download_bytes(bytemuck::cast_slice_mut(to), from)
    }
}
