//! Threads of the caller's, each with its scratch memory.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::slice;

use var_kernel::Workers;
use varimage_abi::options::Parallel;

/// The calling thread, or the caller's `parallel` with its pool.
pub(crate) struct LentWorkers {
    parallel: Option<(Parallel, *mut c_void)>,
    scratch: *mut f32,
    count: usize,
    /// Floats of scratch memory of each task.
    scratch_len: usize,
}

// SAFETY: the header says that `parallel` may be called with `pool` from any thread that uses the model, and
// runs each task once: each scratch memory is one task's.
unsafe impl Sync for LentWorkers {}

impl LentWorkers {
    /// `count` tasks at a time over `scratch`, `scratch_len` floats for each.
    pub(crate) fn new(
        parallel: Option<(Parallel, *mut c_void)>,
        scratch: &'static mut [f32],
        count: usize,
        scratch_len: usize,
    ) -> Self {
        assert_eq!(scratch.len(), count * scratch_len, "scratch memory of each task");
        Self { parallel, scratch: scratch.as_mut_ptr(), count, scratch_len }
    }
}

/// A broadcast under way.
struct Broadcast<'b> {
    job: &'b (dyn Fn(&mut [f32]) + Sync),
    workers: &'b LentWorkers,
}

/// A task of a [`Broadcast`].
unsafe extern "C" fn task(context: *mut c_void, index: usize) {
    // SAFETY: the context is the broadcast, which lives until `parallel` has returned.
    let Broadcast { job, workers } = unsafe { &*context.cast::<Broadcast<'_>>() };
    assert!(index < workers.count, "parallel: no task of such an index was asked for");
    // SAFETY: the task with this index alone uses this part of the scratch memory.
    let scratch = unsafe {
        let start = workers.scratch.add(index * workers.scratch_len);
        slice::from_raw_parts_mut(start, workers.scratch_len)
    };
    job(scratch);
}

impl Workers for LentWorkers {
    fn count(&self) -> usize {
        self.count
    }

    fn scratch_len(&self) -> usize {
        self.scratch_len
    }

    fn broadcast(&self, threads: usize, job: &(dyn Fn(&mut [f32]) + Sync)) {
        let broadcast = Broadcast { job, workers: self };
        let context = (&raw const broadcast).cast_mut().cast::<c_void>();
        match self.parallel {
            // SAFETY: the header says that `parallel` returns when all its tasks have.
            Some((parallel, pool)) => unsafe {
                parallel(pool, threads.min(self.count), task, context);
            },
            // SAFETY: the context is a broadcast, and this its only task.
            None => unsafe { task(context, 0) },
        }
    }
}
