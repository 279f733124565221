//! Every thread is called, waited for, and survives panics; run under Miri, too.

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
            let seen = Mutex::new(Vec::new());
            threads.broadcast(wanted, &|_| lock(&seen).push(thread::current().id()));
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

#[test]
fn scratch_is_aligned_long_enough_and_each_threads_own() {
    let threads = threads(3);
    let starts = Mutex::new(HashSet::new());
    threads.broadcast(3, &|scratch| {
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
        let sum = AtomicUsize::new(0);
        threads.broadcast(1 + round % 3, &|_| {
            sum.fetch_add(round, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), round * (1 + round % 3));
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
        let calls = AtomicUsize::new(0);
        let ending = panic::catch_unwind(AssertUnwindSafe(|| {
            threads.broadcast(3, &|_| {
                calls.fetch_add(1, Ordering::Relaxed);
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
    let ended = AtomicBool::new(false);
    let ending = panic::catch_unwind(AssertUnwindSafe(|| {
        threads.broadcast(2, &|_| {
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
