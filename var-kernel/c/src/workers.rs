//! Threads of the caller.
#![allow(unsafe_code)]

use core::any::Any;
use core::ffi::c_void;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::panic;
use std::sync::{Mutex, PoisonError};

use var_kernel::{SCRATCH_FLOATS, Workers};

use varimage_abi::options::Parallel;

/// The caller's `parallel` with its pool, and scratch memory of each of its tasks.
pub(crate) struct LentWorkers {
    parallel: Parallel,
    pool: *mut c_void,
    scratch: Vec<Mutex<Vec<f32>>>,
}

// SAFETY: the header says that `parallel` may be called with `pool` from any thread that uses the model.
unsafe impl Send for LentWorkers {}
// SAFETY: as above; the scratch memory is behind locks.
unsafe impl Sync for LentWorkers {}

impl LentWorkers {
    /// `count` tasks at a time.
    pub(crate) fn new(parallel: Parallel, pool: *mut c_void, count: usize) -> Self {
        let scratch = (0..count).map(|_| Mutex::new(vec![0.0; SCRATCH_FLOATS])).collect();
        Self { parallel, pool, scratch }
    }
}

/// A broadcast under way.
struct Broadcast<'b> {
    job: &'b (dyn Fn(&mut [f32]) + Sync),
    scratch: &'b [Mutex<Vec<f32>>],
    ended: AtomicUsize,
    panicked: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A task of a [`Broadcast`].
unsafe extern "C" fn task(context: *mut c_void, index: usize) {
    // SAFETY: the context is the broadcast, which lives until `parallel` has returned.
    let broadcast = unsafe { &*context.cast::<Broadcast<'_>>() };
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        let scratch = broadcast.scratch.get(index).expect("no task of such an index was asked for");
        (broadcast.job)(&mut scratch.lock().unwrap_or_else(PoisonError::into_inner));
    }));
    if let Err(payload) = outcome {
        *broadcast.panicked.lock().unwrap_or_else(PoisonError::into_inner) = Some(payload);
    }
    broadcast.ended.fetch_add(1, Ordering::Release);
}

impl Workers for LentWorkers {
    fn count(&self) -> usize {
        self.scratch.len()
    }

    fn broadcast(&self, threads: usize, job: &(dyn Fn(&mut [f32]) + Sync)) {
        let tasks = threads.min(self.scratch.len());
        if tasks == 0 {
            return;
        }
        let broadcast = Broadcast {
            job,
            scratch: &self.scratch,
            ended: AtomicUsize::new(0),
            panicked: Mutex::new(None),
        };
        let context = (&raw const broadcast).cast_mut().cast::<c_void>();
        // SAFETY: the header says that `parallel` returns when all its tasks have.
        unsafe { (self.parallel)(self.pool, tasks, task, context) };
        let ended = broadcast.ended.load(Ordering::Acquire);
        assert_eq!(ended, tasks, "parallel: tasks run by the caller's pool, and wanted");
        let panicked = broadcast.panicked.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(payload) = panicked {
            panic::resume_unwind(payload);
        }
    }
}
