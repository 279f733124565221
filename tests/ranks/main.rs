//! Ranks of every kind: threads, TCP between threads and between processes, MPI.
//!
//! This program is its own ranks: with [`ROLE`] in the environment it is one of them.

#[path = "../launch.rs"]
mod launch;
mod processes;
mod suite;

use std::process::ExitCode;
use std::thread;

use libtest_mimic::{Arguments, Trial};
use var_host::parallel::environment::{Launch, Launcher};
use var_host::parallel::{ProcessGroup, Rendezvous, SingleProcess, Tcp, ThreadGroup};

fn main() -> ExitCode {
    if let Some(code) = processes::play_role() {
        return code;
    }
    let mut trials = vec![trial("single", || suite::all(&SingleProcess))];
    for size in [1, 2, 3, 5] {
        trials.push(trial(&format!("threads::{size}"), move || {
            on_each(ThreadGroup::new(size), |ranks| suite::all(&ranks));
        }));
    }
    for size in [2, 3, 5] {
        trials.push(trial(&format!("tcp::{size}"), move || {
            on_tcp(size, |ranks| suite::all(&*ranks))
        }));
    }
    for size in [2, 3] {
        for (name, test) in ERRORS {
            trials.push(trial(&format!("threads::{size}::{name}"), move || {
                on_each(ThreadGroup::new(size), |ranks| test(Box::new(ranks)));
            }));
            trials.push(trial(&format!("tcp::{size}::{name}"), move || on_tcp(size, test)));
        }
    }
    trials.extend(processes::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

type Test = fn(Box<dyn ProcessGroup>);

/// Expected failures.
const ERRORS: [(&str, Test); 3] = [
    ("lengths_must_agree", |ranks| suite::lengths_must_agree(&*ranks)),
    ("calls_must_agree", |ranks| suite::calls_must_agree(&*ranks)),
    ("leaving_is_noticed", suite::leaving_is_noticed),
];

fn trial(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        test();
        Ok(())
    })
}

/// Runs `test` on each rank, each on a thread of its own.
fn on_each<T: Send>(ranks: Vec<T>, test: impl Fn(T) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        let threads = ranks.into_iter().map(|rank| scope.spawn(move || test(rank)));
        for thread in Vec::from_iter(threads) {
            thread.join().expect("the test on each rank");
        }
    });
}

/// The same for ranks of TCP, which meet on the threads.
fn on_tcp(size: usize, test: impl Fn(Box<dyn ProcessGroup>) + Sync) {
    let rendezvous = Rendezvous::on_this_machine(&launch::unique_name());
    on_each((0..size).collect(), |rank| {
        let launch = Launch {
            launcher: Launcher::Torchrun,
            rank,
            size,
            local_rank: Some(rank),
            local_size: Some(size),
            variables: ["RANK", "WORLD_SIZE"],
        };
        let ranks = Tcp::meet(&launch, &rendezvous, &|line| panic!("{line}"));
        test(Box::new(ranks.expect("ranks that meet")));
    });
}
