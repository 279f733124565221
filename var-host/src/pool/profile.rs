//! How long each kind of operation takes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use var_kernel::cpu::{Operation, Workers};

use super::Threads;

/// Threads that measure the operations they are told of: [`Workers::begin`].
///
/// An operation lasts until the next one begins, so that all of the time is some operation's. Clones share
/// threads and measurements.
#[derive(Clone, Debug)]
pub struct ProfiledThreads {
    threads: Arc<Threads>,
    profile: Arc<Mutex<Profile>>,
}

/// All operations of one name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OperationTime {
    /// Of the operation.
    pub name: &'static str,
    /// How many there were.
    pub count: usize,
    /// In all.
    pub seconds: f64,
    /// By the formulas, in all.
    pub multiply_adds: u64,
    /// Operands and results, in all.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Profile {
    times: Vec<OperationTime>,
    /// The operation under way: its place in `times`, and when it began.
    current: Option<(usize, Instant)>,
}

impl ProfiledThreads {
    /// Measures on `threads`.
    pub fn new(threads: Threads) -> Self {
        Self { threads: Arc::new(threads), profile: Arc::default() }
    }

    /// Ends the operation under way and returns all there were since the last call, the longest first.
    pub fn take(&self) -> Vec<OperationTime> {
        let mut profile = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        profile.end(Instant::now());
        let mut times = core::mem::take(&mut profile.times);
        times.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        times
    }
}

impl Profile {
    fn end(&mut self, now: Instant) {
        if let Some((place, begun)) = self.current.take() {
            self.times[place].seconds += (now - begun).as_secs_f64();
        }
    }

    fn begin(&mut self, operation: Operation, now: Instant) {
        self.end(now);
        let Operation { name, multiply_adds, bytes } = operation;
        let known = self.times.iter().position(|time| time.name == name);
        let place = known.unwrap_or_else(|| {
            self.times.push(OperationTime {
                name,
                count: 0,
                seconds: 0.0,
                multiply_adds: 0,
                bytes: 0,
            });
            self.times.len() - 1
        });
        let time = &mut self.times[place];
        time.count += 1;
        time.multiply_adds += multiply_adds;
        time.bytes += bytes;
        self.current = Some((place, now));
    }
}

impl Workers for ProfiledThreads {
    fn count(&self) -> usize {
        self.threads.count()
    }

    fn scratch_len(&self) -> usize {
        self.threads.scratch_len()
    }

    fn broadcast(&self, threads: usize, job: &(dyn Fn(&mut [f32]) + Sync)) {
        self.threads.broadcast(threads, job);
    }

    fn begin(&self, operation: Operation) {
        let mut profile = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        profile.begin(operation, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn profile_gives_all_time_to_the_operation_under_way() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let operation = |name, multiply_adds| Operation { name, multiply_adds, bytes: 8 };
        let mut profile = Profile::default();
        profile.begin(operation("linear", 5), at(0));
        profile.begin(operation("attention", 7), at(2));
        profile.begin(operation("linear", 11), at(3));
        profile.end(at(7));
        let time = |name, count, seconds, multiply_adds, bytes| OperationTime {
            name,
            count,
            seconds,
            multiply_adds,
            bytes,
        };
        assert_eq!(
            profile.times,
            [time("linear", 2, 6.0, 16, 16), time("attention", 1, 1.0, 7, 8)]
        );
    }

    #[test]
    fn profiled_threads_are_told_of_each_operation() {
        use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};
        use var_kernel::ops::elementwise::{Elementwise, Unary};

        let threads = ProfiledThreads::new(Threads::new(2, SCRATCH_FLOATS).unwrap());
        let mut out = [0.0; 6];
        let Ok(()) = Cpu::new(Isa::best(), &threads).map(&mut out, &[1.0; 6], Unary::Silu);
        let times = threads.take();
        assert_eq!((times.len(), times[0].name, times[0].count), (1, "elementwise", 1));
        assert!(threads.take().is_empty());
    }
}
