//! Work that another thread ends.

use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, Ordering};
use std::panic;
use std::sync::Arc;

use var_kernel::cpu::{Operation, Workers};

/// A flag that ends work on the CPU before its next parallel operation, and on a GPU after the scale.
///
/// The kernel's operations on a CPU have no errors to return: raising unwinds them, on the thread that
/// asked for the work, without a message.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

/// The work was ended by its [`Interrupt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Interrupt {
    /// Ends the work.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// `workers` that ask the flag before each operation; within [`Interrupt::catch`] only.
    pub(crate) fn watch<'w>(&'w self, workers: &'w dyn Workers) -> Watched<'w> {
        Watched { workers, interrupt: self }
    }

    /// Runs `work`, which may be unwound by [`Watched`] workers.
    pub(crate) fn catch<R>(&self, work: impl FnOnce() -> R) -> Result<R, Interrupted> {
        if self.is_raised() {
            return Err(Interrupted);
        }
        // The work's results are dropped, its memory is overwritten by the next.
        panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
            match payload.downcast::<Interrupted>() {
                Ok(interrupted) => *interrupted,
                Err(payload) => panic::resume_unwind(payload),
            }
        })
    }
}

/// Workers that ask a flag before each operation.
pub(crate) struct Watched<'w> {
    workers: &'w dyn Workers,
    interrupt: &'w Interrupt,
}

impl Workers for Watched<'_> {
    fn count(&self) -> usize {
        self.workers.count()
    }

    fn scratch_len(&self) -> usize {
        self.workers.scratch_len()
    }

    fn begin(&self, operation: Operation) {
        self.workers.begin(operation);
    }

    fn broadcast(&self, threads: usize, job: &(dyn Fn(&mut [f32]) + Sync)) {
        if self.interrupt.is_raised() {
            panic::resume_unwind(Box::new(Interrupted));
        }
        self.workers.broadcast(threads, job);
    }
}

#[cfg(test)]
mod tests {
    use var_kernel::cpu::{Inline, SCRATCH_FLOATS};

    use super::*;

    #[test]
    fn raising_ends_work_at_its_next_operation() {
        let mut scratch = vec![0.0; SCRATCH_FLOATS];
        let (workers, interrupt) = (Inline::new(&mut scratch), Interrupt::default());
        let mut operations = 0;
        let outcome = interrupt.catch(|| {
            let watched = interrupt.watch(&workers);
            for number in 0..5 {
                watched.broadcast(1, &|_| ());
                operations += 1;
                if number == 2 {
                    interrupt.raise();
                }
            }
        });
        assert_eq!((outcome, operations), (Err(Interrupted), 3));
        assert_eq!(interrupt.catch(|| 7), Err(Interrupted), "it stays raised");
        assert_eq!(Interrupt::default().catch(|| 7), Ok(7));
    }

    #[test]
    #[should_panic(expected = "another")]
    fn other_panics_go_on() {
        let _ = Interrupt::default().catch(|| panic!("another"));
    }
}
