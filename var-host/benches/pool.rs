//! How long an empty broadcast takes: at once after the last, and after the threads went to sleep.
//!
//! `cargo bench -p var-host --bench pool`

use core::time::Duration;
use std::thread;
use std::time::Instant;

use var_host::pool::Threads;
use var_kernel::cpu::{SCRATCH_FLOATS, Workers};

fn main() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores; nanoseconds an empty broadcast, median and 99th of 100");
    for count in [1, 2, 4, 8, 16, 32, 64].into_iter().filter(|&count| count <= 2 * cores) {
        let threads = Threads::new(count, SCRATCH_FLOATS).expect("threads can be started");
        let awake = measure(20_000, || threads.broadcast(count, &|_| {}), Duration::ZERO);
        let asleep = measure(300, || threads.broadcast(count, &|_| {}), Duration::from_millis(1));
        println!("{count:3} threads: awake {awake:?}, asleep {asleep:?}");
    }
}

/// The median and the 99th hundredth of the times of `run`, with a pause before each.
fn measure(times: usize, run: impl Fn(), pause: Duration) -> (u128, u128) {
    let once = |_| {
        if !pause.is_zero() {
            thread::sleep(pause);
        }
        let start = Instant::now();
        run();
        start.elapsed().as_nanos()
    };
    let mut taken: Vec<u128> = (0..times).map(once).collect();
    taken.sort_unstable();
    (taken[times / 2], taken[times * 99 / 100])
}
