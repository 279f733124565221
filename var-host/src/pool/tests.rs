//! Threads are called, waited for once begun, and survive panics; run under Miri, too.

use std::collections::HashSet;
use std::sync::Barrier;

use super::*;

fn threads(count: usize) -> Threads {
    Threads::new(count, SCRATCH_FLOATS).unwrap()
}

fn message(payload: &(dyn Any + Send)) -> &str {
    payload.downcast_ref::<&str>().unwrap()
}

#[test]
fn each_thread_is_called_once_and_no_more_than_wanted() {
    for count in [1, 2, 3, 5] {
        let threads = threads(count);
        assert_eq!(threads.count(), count);
        for wanted in 0..count + 2 {
            let (seen, all) = (Mutex::new(Vec::new()), Barrier::new(wanted.min(count)));
            threads.broadcast(wanted, &|_| {
                lock(&seen).push(thread::current().id());
                all.wait();
            });
            let seen = seen.into_inner().unwrap();
            assert_eq!(seen.len(), wanted.min(count));
            assert_eq!(HashSet::<_>::from_iter(&seen).len(), seen.len());
            assert!(wanted == 0 || seen.contains(&thread::current().id()));
        }
    }
}

#[test]
fn threads_run_at_the_same_time() {
    let barrier = Barrier::new(3);
    threads(3).broadcast(3, &|_| {
        barrier.wait();
    });
}

/// As on a machine where another program has the thread's core.
#[test]
fn thread_that_has_not_begun_is_not_waited_for() {
    let threads = threads(2);
    let calls = AtomicUsize::new(0);
    for _ in 0..if cfg!(miri) { 20 } else { 2000 } {
        calls.store(0, Ordering::Relaxed);
        threads.broadcast(2, &|_| {
            calls.fetch_add(1, Ordering::Relaxed);
        });
        assert!((1..=2).contains(&calls.load(Ordering::Relaxed)));
        assert_eq!(threads.spawned[0].part.0.load(Ordering::Relaxed), IDLE);
    }
    // A call that was taken back never begins, one that begins is not taken back.
    let part = Part(AtomicUsize::new(CALLED));
    assert!(part.take_back() && !part.begin() && !part.take_back());
    let part = Part(AtomicUsize::new(CALLED));
    assert!(part.begin() && !part.take_back());
}

#[test]
fn scratch_is_aligned_long_enough_and_each_threads_own() {
    let threads = threads(3);
    let (starts, all) = (Mutex::new(HashSet::new()), Barrier::new(3));
    threads.broadcast(3, &|scratch| {
        all.wait();
        assert_eq!(scratch.len(), SCRATCH_FLOATS);
        assert_eq!(scratch.as_ptr().addr() % ALIGNMENT, 0);
        lock(&starts).insert(scratch.as_ptr().addr());
        scratch[0] += 1.0;
        scratch[SCRATCH_FLOATS - 1] += 1.0;
    });
    assert_eq!(starts.into_inner().unwrap().len(), 3);
    threads.broadcast(3, &|scratch| assert_eq!(scratch[0] + scratch[SCRATCH_FLOATS - 1], 2.0));
}

#[test]
fn borrowed_work_is_done_when_broadcast_returns() {
    let threads = threads(3);
    for round in 0..if cfg!(miri) { 20 } else { 5000 } {
        // Tasks are claimed, as the kernel's are.
        let (next, sum, tasks) = (AtomicUsize::new(0), AtomicUsize::new(0), 1 + round % 7);
        threads.broadcast(1 + round % 3, &|_| {
            while next.fetch_add(1, Ordering::Relaxed) < tasks {
                sum.fetch_add(round, Ordering::Relaxed);
            }
        });
        assert_eq!(sum.into_inner(), round * tasks);
    }
}

#[test]
fn sleeping_threads_wake() {
    let threads = threads(2);
    for _ in 0..5 {
        thread::sleep(4 * PATIENCE);
        let barrier = Barrier::new(2);
        threads.broadcast(2, &|_| {
            // The caller must sleep for the other's end, too.
            if thread::current().name() == Some("var-1") {
                thread::sleep(4 * PATIENCE);
            }
            barrier.wait();
        });
    }
}

#[test]
fn panics_reach_the_caller_and_the_threads_stay_usable() {
    let threads = threads(3);
    for (name, wanted) in [("var-2", true), ("var-2", true), ("", false)] {
        let (calls, all) = (AtomicUsize::new(0), Barrier::new(3));
        let ending = panic::catch_unwind(AssertUnwindSafe(|| {
            threads.broadcast(3, &|_| {
                calls.fetch_add(1, Ordering::Relaxed);
                all.wait();
                if thread::current().name() == Some(name) {
                    panic!("in the job");
                }
            });
        }));
        assert_eq!(calls.into_inner(), 3);
        assert_eq!(ending.is_err(), wanted);
        if let Err(payload) = ending {
            assert_eq!(message(&*payload), "in the job");
        }
    }
}

#[test]
fn callers_own_panic_waits_for_the_others() {
    let threads = threads(2);
    let caller = thread::current().id();
    let (ended, both) = (AtomicBool::new(false), Barrier::new(2));
    let ending = panic::catch_unwind(AssertUnwindSafe(|| {
        threads.broadcast(2, &|_| {
            both.wait();
            if thread::current().id() == caller {
                panic!("at once");
            }
            thread::sleep(4 * PATIENCE);
            ended.store(true, Ordering::Relaxed);
        });
    }));
    assert_eq!(message(&*ending.unwrap_err()), "at once");
    assert!(ended.into_inner());
}

#[test]
fn broadcast_inside_a_job_panics_instead_of_waiting_for_itself() {
    for count in [1, 2] {
        let threads = threads(count);
        let ending = panic::catch_unwind(AssertUnwindSafe(|| {
            threads.broadcast(count, &|_| threads.broadcast(1, &|_| {}));
        }));
        assert_eq!(message(&*ending.unwrap_err()), "broadcast: called from inside a job");
        threads.broadcast(count, &|_| {});
    }
}

#[test]
fn callers_on_several_threads_take_turns() {
    let threads = threads(2);
    let inside = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..if cfg!(miri) { 3 } else { 200 } {
                    threads.broadcast(2, &|_| {
                        assert!(inside.fetch_add(1, Ordering::Relaxed) < 2);
                        inside.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            });
        }
    });
}

#[test]
#[should_panic(expected = "threads: scratch wants 1048576 floats, 16 were asked for")]
fn scratch_too_small_panics() {
    let _ = Threads::new(1, 16);
}
