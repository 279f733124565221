//! The threads that are lent to the kernel.
//!
//! A dispatch allocates nothing: the job stays where the caller has it and the threads borrow it.
//! Threads wait for work by looking for it, giving way to others between looks, then sleeping. A thread that
//! has not begun when the caller's own call is over is not waited for: on a busy machine it may be long in
//! coming, and its work is done.
#![allow(unsafe_code)]

mod profile;

use core::any::Any;
use core::cell::Cell;
use core::mem;
use core::num::NonZero;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::io;
use std::panic;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

pub use profile::{OperationTime, ProfiledThreads};
use var_kernel::cpu::{SCRATCH_FLOATS, Workers};

/// How long a thread looks for work, or the caller for its end, before it sleeps.
const PATIENCE: Duration = Duration::from_micros(20);

/// Bytes that scratch memory is aligned to: a cache line, and the widest vector.
const ALIGNMENT: usize = 64;

/// A fixed number of threads, the caller's among them, each with its own scratch memory.
#[derive(Debug)]
pub struct Threads {
    shared: Arc<PoolShared>,
    spawned: Vec<Spawned>,
    /// The calling thread's. Its holder has all threads, so callers take turns.
    scratch: Mutex<Scratch>,
}

/// Not all threads could be started.
#[derive(Debug, thiserror::Error)]
#[error("threads: wants {wants}, only {started} could be started")]
pub struct ThreadsError {
    /// How many were asked for.
    pub wants: usize,
    /// How many there were when the system refused another.
    pub started: usize,
    /// The system's error.
    pub source: io::Error,
}

impl Threads {
    /// Starts `count − 1` threads, each with `scratch_floats` of memory, aligned to 64 bytes.
    ///
    /// # Panics
    /// If `count` is zero or `scratch_floats` less than [`SCRATCH_FLOATS`].
    ///
    /// # Errors
    /// If the system refuses a thread; those already started are ended.
    #[track_caller]
    pub fn new(count: usize, scratch_floats: usize) -> Result<Self, ThreadsError> {
        assert!(count > 0, "threads: the caller's own is one, none were wanted");
        assert!(
            scratch_floats >= SCRATCH_FLOATS,
            "threads: scratch wants {SCRATCH_FLOATS} floats, {scratch_floats} were asked for"
        );
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        // On fewer cores than threads, spinning would take the time from the threads at work.
        let patience = if cores >= count { PATIENCE } else { Duration::ZERO };
        let mut threads = Self {
            shared: Arc::new(PoolShared::new(patience)),
            spawned: Vec::new(),
            scratch: Mutex::new(Scratch::new(scratch_floats)),
        };
        for started in 1..count {
            let spawned = Spawned::start(&threads.shared, started, scratch_floats)
                .map_err(|source| ThreadsError { wants: count, started, source })?;
            threads.spawned.push(spawned);
        }
        Ok(threads)
    }
}

impl Workers for Threads {
    fn count(&self) -> usize {
        self.spawned.len() + 1
    }

    /// Runs `job` on up to `threads` threads.
    ///
    /// # Panics
    /// With the job's own panic, after every call has ended; the threads can be used again. If called from inside a job, which would wait for itself.
    fn broadcast(&self, threads: usize, job: &(dyn Fn(&mut [f32]) + Sync)) {
        assert!(!IN_JOB.get(), "broadcast: called from inside a job");
        if threads == 0 {
            return;
        }
        let others = &self.spawned[..self.spawned.len().min(threads - 1)];
        let mut scratch = lock(&self.scratch);
        // SAFETY: only the lifetime changes. The job is called by threads that were called below, each
        // counted in `unfinished` until it has counted itself out after its last use of the job, or
        // its call was taken back before it began; `wait_for_end` returns when none is left, and
        // nothing between here and there unwinds: the caller's own call is caught.
        let lent = unsafe { mem::transmute::<&PoolJob<'_>, &'static PoolJob<'static>>(job) };
        self.shared.publish(lent, others.len());
        others.iter().for_each(Spawned::call);
        let own = call(job, scratch.floats());
        let late = others.iter().filter(|thread| thread.part.take_back()).count();
        self.shared.unfinished.fetch_sub(late, Ordering::AcqRel);
        let theirs = self.shared.wait_for_end();
        drop(scratch);
        if let Err(payload) = own.and(theirs) {
            panic::resume_unwind(payload);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        for thread in self.spawned.drain(..) {
            thread.wake();
            // Jobs' panics are caught, so the thread has none of its own to report.
            let _ = thread.handle.join();
        }
    }
}

type PoolJob<'a> = dyn Fn(&mut [f32]) + Sync + 'a;

/// How a job ended: with a value to panic with if it panicked.
type Ending = Result<(), Box<dyn Any + Send>>;

thread_local! {
    static IN_JOB: Cell<bool> = const { Cell::new(false) };
}

/// Calls the job and catches its panic.
fn call(job: &PoolJob<'_>, scratch: &mut [f32]) -> Ending {
    IN_JOB.set(true);
    // State half-done by a panic is the job's, and the panic is passed on to its owner.
    let ending = panic::catch_unwind(AssertUnwindSafe(|| job(scratch)));
    IN_JOB.set(false);
    ending
}

/// State shared by the caller and the spawned threads.
struct PoolShared {
    job: RwLock<Option<&'static PoolJob<'static>>>,
    /// Threads that were called and have not yet ended.
    unfinished: AtomicUsize,
    ending: Mutex<Ending>,
    /// Signalled, with `sleeping` held, when `unfinished` has come to zero.
    finished: Condvar,
    sleeping: Mutex<()>,
    closing: AtomicBool,
    patience: Duration,
}

impl PoolShared {
    fn new(patience: Duration) -> Self {
        Self {
            job: RwLock::new(None),
            unfinished: AtomicUsize::new(0),
            ending: Mutex::new(Ok(())),
            finished: Condvar::new(),
            sleeping: Mutex::new(()),
            closing: AtomicBool::new(false),
            patience,
        }
    }

    fn publish(&self, job: &'static PoolJob<'static>, threads: usize) {
        *self.job.write().unwrap_or_else(PoisonError::into_inner) = Some(job);
        self.unfinished.store(threads, Ordering::Release);
    }

    /// Returns when every thread has ended its call, with the first panic among them.
    fn wait_for_end(&self) -> Ending {
        let ended = || self.unfinished.load(Ordering::Acquire) == 0;
        if !look(self.patience, ended) {
            let mut sleeping = lock(&self.sleeping);
            while !ended() {
                sleeping = self.finished.wait(sleeping).unwrap_or_else(PoisonError::into_inner);
            }
        }
        *self.job.write().unwrap_or_else(PoisonError::into_inner) = None;
        mem::replace(&mut *lock(&self.ending), Ok(()))
    }

    /// One thread's part in a broadcast.
    fn take_part(&self, part: &Part, scratch: &mut [f32]) {
        let job = *self.job.read().unwrap_or_else(PoisonError::into_inner);
        let ending = call(job.expect("a job is published before its threads are called"), scratch);
        if ending.is_err() {
            let mut first = lock(&self.ending);
            if first.is_ok() {
                *first = ending;
            }
        }
        part.0.store(IDLE, Ordering::Release);
        if self.unfinished.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The caller looks at `unfinished` with the lock held, so it either sees zero or
            // sleeps before the signal.
            let _sleeping = lock(&self.sleeping);
            self.finished.notify_one();
        }
    }
}

impl core::fmt::Debug for PoolShared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shared").field("unfinished", &self.unfinished).finish_non_exhaustive()
    }
}

/// A thread and its part in the broadcast under way.
#[derive(Debug)]
struct Spawned {
    part: Arc<Part>,
    handle: JoinHandle<()>,
}

/// [`IDLE`], [`CALLED`] or [`RUNNING`]. A cache line each, so that a thread looking at its own does not slow
/// the others.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Part(AtomicUsize);

/// No part in a broadcast: the caller may call the thread.
const IDLE: usize = 0;
/// Called, and not yet begun: either the thread begins, or the caller takes the call back.
const CALLED: usize = 1;
/// Begun: the thread alone ends it.
const RUNNING: usize = 2;

impl Part {
    /// Whether the thread was called and now has begun.
    fn begin(&self) -> bool {
        self.0.compare_exchange(CALLED, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether the thread had not begun and now will not.
    fn take_back(&self) -> bool {
        self.0.compare_exchange(CALLED, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Spawned {
    fn start(shared: &Arc<PoolShared>, number: usize, scratch_floats: usize) -> io::Result<Self> {
        let part = Arc::new(Part::default());
        let (shared, own) = (Arc::clone(shared), Arc::clone(&part));
        let handle = thread::Builder::new().name(format!("var-{number}")).spawn(move || {
            // Made here, so that the memory is near the core that uses it.
            let mut scratch = Scratch::new(scratch_floats);
            let closing = || shared.closing.load(Ordering::Acquire);
            let called = || own.0.load(Ordering::Acquire) == CALLED || closing();
            loop {
                if !look(shared.patience, called) {
                    while !called() {
                        thread::park();
                    }
                }
                if closing() {
                    return;
                }
                if own.begin() {
                    shared.take_part(&own, scratch.floats());
                }
            }
        })?;
        Ok(Self { part, handle })
    }

    /// Calls the thread to the job that was published.
    fn call(&self) {
        self.part.0.store(CALLED, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        self.handle.thread().unpark();
    }
}

/// Looks until `ready`, no longer than `patience`; says whether it became so.
fn look(patience: Duration, ready: impl Fn() -> bool) -> bool {
    // The first look is without the clock, which WebAssembly lacks: its one thread never waits.
    if ready() {
        return true;
    }
    let start = Instant::now();
    loop {
        if start.elapsed() >= patience {
            return false;
        }
        // Not a bare spin: on a busy machine that keeps the very thread waited for from running
        // (an empty broadcast on 2 busy cores took 45 µs so, and takes 3 µs).
        thread::yield_now();
        if ready() {
            return true;
        }
    }
}

/// The lock, also after a panic: no value here is left half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Floats that begin at a multiple of [`ALIGNMENT`] bytes.
#[derive(Debug)]
struct Scratch {
    memory: Vec<f32>,
    start: usize,
    length: usize,
}

impl Scratch {
    fn new(length: usize) -> Self {
        let memory = vec![0.0_f32; length + ALIGNMENT / size_of::<f32>()];
        let past = memory.as_ptr().addr() % ALIGNMENT;
        let start = (ALIGNMENT - past) % ALIGNMENT / size_of::<f32>();
        Self { memory, start, length }
    }

    fn floats(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..][..self.length]
    }
}

#[cfg(test)]
mod tests;
