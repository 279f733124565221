//! Threads lent by the caller.

use core::cell::RefCell;

/// Scratch floats that a thread is best lent (4 MiB): packed blocks of a product, scores, one row of
/// probabilities.
///
/// With fewer, blocks are smaller and results the same; [`Cost::scratch`](crate::Cost::scratch) is the least that
/// a model takes.
pub const SCRATCH_FLOATS: usize = 1 << 20;

/// Threads lent by the caller.
///
/// Which thread does which part of the work never changes a result.
///
/// ```
/// use std::thread;
/// use var_kernel::{Cpu, Isa, SCRATCH_FLOATS, Workers};
///
/// struct Scoped(usize);
///
/// impl Workers for Scoped {
///     fn count(&self) -> usize {
///         self.0
///     }
///
///     fn broadcast(&self, threads: usize, job: &(dyn Fn(&mut [f32]) + Sync)) {
///         thread::scope(|scope| {
///             for _ in 0..threads.min(self.0) {
///                 scope.spawn(|| job(&mut vec![0.0; SCRATCH_FLOATS]));
///             }
///         });
///     }
/// }
///
/// let cpu = Cpu::new(Isa::best(), &Scoped(4));
/// # let _ = cpu;
/// ```
pub trait Workers {
    /// How many threads `broadcast` can run a job on.
    fn count(&self) -> usize;

    /// Floats of scratch memory that `broadcast` lends each thread at least.
    fn scratch_len(&self) -> usize {
        SCRATCH_FLOATS
    }

    /// Calls `job` on the caller's thread and at most once on each of up to `threads` − 1 others, each
    /// with scratch memory of its own of [`Workers::scratch_len`]; returns when all calls have returned.
    ///
    /// Calls claim tasks until none is left, so that one call alone does all of the work: a thread
    /// that has not begun when the caller's own call returns need not be called any more.
    fn broadcast(&self, threads: usize, job: &(dyn Fn(&mut [f32]) + Sync));

    /// Is told of each operation before its jobs come, for callers that measure.
    fn begin(&self, _operation: Operation) {}
}

/// An operation as a measurement sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Of the trait's method: `linear`, `conv2d`.
    pub name: &'static str,
    /// By the formula; none where it is not a product.
    pub multiply_adds: u64,
    /// Bytes of operands and result, each once.
    pub bytes: u64,
}

/// No threads but the caller's own.
///
/// ```
/// use var_kernel::{Cpu, Inline, Isa, SCRATCH_FLOATS};
///
/// let mut scratch = vec![0.0; SCRATCH_FLOATS];
/// let workers = Inline::new(&mut scratch);
/// let cpu = Cpu::new(Isa::best(), &workers);
/// # let _ = cpu;
/// ```
pub struct Inline<'m> {
    scratch: RefCell<&'m mut [f32]>,
    scratch_len: usize,
}

impl<'m> Inline<'m> {
    /// Computes on the calling thread with `scratch`, best [`SCRATCH_FLOATS`] of it.
    pub fn new(scratch: &'m mut [f32]) -> Self {
        Self { scratch_len: scratch.len(), scratch: RefCell::new(scratch) }
    }
}

impl Workers for Inline<'_> {
    fn count(&self) -> usize {
        1
    }

    fn scratch_len(&self) -> usize {
        self.scratch_len
    }

    fn broadcast(&self, _threads: usize, job: &(dyn Fn(&mut [f32]) + Sync)) {
        job(&mut self.scratch.borrow_mut());
    }
}
