//! Work done ahead by threads, handed over in order.

use core::panic::AssertUnwindSafe;
use std::collections::VecDeque;
use std::io;
use std::panic;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// The results of `work` on each task, in the order of the tasks.
///
/// With threads, so many tasks are begun or done before they are asked for as there is `room` for;
/// without, a task is done when its result is asked for. Dropping it ends the threads after the
/// tasks they are at.
pub(crate) struct Prefetcher<T, R> {
    shared: Arc<PrefetchQueue<T, R>>,
    threads: Vec<JoinHandle<()>>,
}

struct PrefetchQueue<T, R> {
    state: Mutex<QueueState<T, R>>,
    /// A result has come that is waited for, or none will.
    ready: Condvar,
    /// There is room for another task, or the end has come.
    free: Condvar,
    room: usize,
    work: Box<dyn Fn(T) -> R + Send + Sync>,
}

struct QueueState<T, R> {
    tasks: Box<dyn Iterator<Item = T> + Send>,
    /// The results of the tasks begun and not handed over; none while a task is worked at.
    begun: VecDeque<Option<thread::Result<R>>>,
    /// How many were handed over: the number of the first of `begun`.
    handed_over: u64,
    /// There are no more tasks.
    exhausted: bool,
    closing: bool,
}

impl<T: 'static, R: Send + 'static> Prefetcher<T, R> {
    /// Starts `threads` threads that work at `tasks`.
    ///
    /// # Panics
    /// If there is no room.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub(crate) fn start(
        tasks: impl Iterator<Item = T> + Send + 'static,
        work: impl Fn(T) -> R + Send + Sync + 'static,
        threads: usize,
        room: usize,
    ) -> io::Result<Self> {
        assert!(room > 0, "ahead: no room for a result");
        let state = QueueState {
            tasks: Box::new(tasks),
            begun: VecDeque::new(),
            handed_over: 0,
            exhausted: false,
            closing: false,
        };
        let shared = Arc::new(PrefetchQueue {
            state: Mutex::new(state),
            ready: Condvar::new(),
            free: Condvar::new(),
            room,
            work: Box::new(work),
        });
        // Should one not start, those before it are ended as this is dropped.
        let mut prefetch = Self { shared, threads: Vec::new() };
        for number in 0..threads {
            let shared = Arc::clone(&prefetch.shared);
            let builder = thread::Builder::new().name(format!("var-data-{number}"));
            prefetch.threads.push(builder.spawn(move || shared.work_on())?);
        }
        Ok(prefetch)
    }
}

impl<T, R> Iterator for Prefetcher<T, R> {
    type Item = R;

    /// The next result; none when there are no more tasks.
    ///
    /// # Panics
    /// With the panic of the task's work.
    fn next(&mut self) -> Option<R> {
        let mut state = self.shared.lock();
        if self.threads.is_empty() {
            let task = state.tasks.next()?;
            drop(state);
            return Some((self.shared.work)(task));
        }
        loop {
            match state.begun.front_mut().map(Option::take) {
                Some(Some(result)) => {
                    state.begun.pop_front();
                    state.handed_over += 1;
                    self.shared.free.notify_one();
                    drop(state);
                    return Some(result.unwrap_or_else(|payload| panic::resume_unwind(payload)));
                }
                None if state.exhausted => return None,
                Some(None) | None => {
                    state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl<T, R> Drop for Prefetcher<T, R> {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.free.notify_all();
        for thread in self.threads.drain(..) {
            // The panics of the work are caught, so the thread has none of its own to report.
            let _ = thread.join();
        }
    }
}

impl<T, R> PrefetchQueue<T, R> {
    fn lock(&self) -> MutexGuard<'_, QueueState<T, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thread: works at task after task until there are no more or the end has come.
    fn work_on(&self) {
        let mut state = self.lock();
        while !state.closing {
            if state.begun.len() >= self.room {
                state = self.free.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Some(task) = state.tasks.next() else {
                state.exhausted = true;
                self.ready.notify_one();
                return;
            };
            let number = state.handed_over + state.begun.len() as u64;
            state.begun.push_back(None);
            drop(state);
            // State half-done by a panic is the work's, and the panic is passed on to its owner.
            let result = panic::catch_unwind(AssertUnwindSafe(|| (self.work)(task)));
            state = self.lock();
            // A task is handed over only when it is done, so this one is still there.
            let place = (number - state.handed_over) as usize;
            state.begun[place] = Some(result);
            if place == 0 {
                self.ready.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_threads() {
        for (threads, room) in [(0, 1), (1, 1), (1, 7), (3, 1), (3, 2), (5, 64)] {
            // Later tasks are shorter.
            let work = |task: u64| (0..(200 - task) * 50).fold(task, |sum, n| sum ^ (n << 20));
            let expected: Vec<u64> = (0..200).map(work).collect();
            let prefetch = Prefetcher::start(0..200, work, threads, room).unwrap();
            assert_eq!(prefetch.collect::<Vec<_>>(), expected, "{threads} threads, room {room}");
        }
    }

    #[test]
    fn prefetcher_begins_no_more_than_it_has_room_for() {
        let begun = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&begun);
        let (sender, receiver) = mpsc::channel();
        let work = move |task: usize| {
            counter.fetch_add(1, Ordering::SeqCst);
            sender.send(task).unwrap();
        };
        let mut prefetch = Prefetcher::start(0..usize::MAX, work, 2, 5).unwrap();
        for _ in 0..5 {
            receiver.recv().unwrap();
        }
        assert_eq!(begun.load(Ordering::SeqCst), 5);
        for _ in 0..3 {
            prefetch.next();
            receiver.recv().unwrap();
        }
        assert_eq!(begun.load(Ordering::SeqCst), 8);
    }

    #[test]
    fn prefetcher_without_threads_does_nothing_ahead() {
        let begun = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&begun);
        let mut prefetch =
            Prefetcher::start(0..3, move |_| counter.fetch_add(1, Ordering::SeqCst), 0, 9).unwrap();
        assert_eq!(begun.load(Ordering::SeqCst), 0);
        assert_eq!((prefetch.next(), prefetch.next()), (Some(0), Some(1)));
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        assert_eq!((prefetch.next(), prefetch.next(), prefetch.next()), (Some(2), None, None));
    }

    #[test]
    fn dropping_ends_the_threads() {
        // The work holds a sender: the channel ends when the last thread has.
        let (sender, receiver) = mpsc::channel::<()>();
        let work = move |task: usize| {
            let _held = &sender;
            task
        };
        let mut prefetch = Prefetcher::start(0..usize::MAX, work, 3, 4).unwrap();
        assert_eq!(prefetch.next(), Some(0));
        drop(prefetch);
        assert!(receiver.recv().is_err());
    }

    #[test]
    fn panic_comes_to_the_one_who_asks() {
        let work = |task: usize| assert!(task != 2, "task 2 is bad");
        let mut prefetch = Prefetcher::start(0..4, work, 2, 3).unwrap();
        prefetch.next();
        prefetch.next();
        let panic = panic::catch_unwind(AssertUnwindSafe(|| prefetch.next()));
        assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "task 2 is bad");
        assert_eq!((prefetch.next(), prefetch.next()), (Some(()), None));
    }
}
