//! Threads lent by the caller.

use core::cell::RefCell;

/// Scratch floats that every thread brings (4 MiB): packed blocks of a product, scores, one row of
/// probabilities.
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

    /// Calls `job` once on each of up to `threads` threads, the caller's among them, each with
    /// scratch memory of its own of at least [`SCRATCH_FLOATS`]; returns when all calls have returned.
    fn broadcast(&self, threads: usize, job: &(dyn Fn(&mut [f32]) + Sync));
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
pub struct Inline<'m>(RefCell<&'m mut [f32]>);

impl<'m> Inline<'m> {
    /// Computes on the calling thread with `scratch`.
    ///
    /// # Panics
    /// If `scratch` is shorter than [`SCRATCH_FLOATS`].
    pub fn new(scratch: &'m mut [f32]) -> Self {
        assert!(
            scratch.len() >= SCRATCH_FLOATS,
            "scratch: {SCRATCH_FLOATS} floats wanted, {} lent",
            scratch.len()
        );
        Self(RefCell::new(scratch))
    }
}

impl Workers for Inline<'_> {
    fn count(&self) -> usize {
        1
    }

    fn broadcast(&self, _threads: usize, job: &(dyn Fn(&mut [f32]) + Sync)) {
        job(&mut self.0.borrow_mut());
    }
}
