//! Ranks that are processes: this program again, in a role.

use std::env;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use var_host::parallel::{self, Ranks, RanksError};

use crate::launch;
use crate::{ERRORS, suite, trial};

/// The variable that names what this process is to do as a rank.
const ROLE: &str = "VAR_TEST_ROLE";

/// Longer than anything here may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Plays the role the environment gives, if it gives one.
pub(crate) fn play_role() -> Option<ExitCode> {
    let role = env::var(ROLE).ok()?;
    let ranks = match parallel::from_environment() {
        Ok(ranks) => ranks,
        Err(error) => {
            eprintln!("{}", chain(&error));
            return Some(ExitCode::from(3));
        }
    };
    let error = ERRORS.into_iter().find(|(name, _)| *name == role);
    match (role.as_str(), error) {
        (_, Some((_, test))) => test(ranks),
        ("suite", _) => suite::all(&*ranks),
        ("work", _) => {
            if let Err(error) = work(&*ranks) {
                eprintln!("{error}");
                return Some(ExitCode::from(4));
            }
        }
        ("measure", _) => measure(&*ranks),
        _ => panic!("there is no role {role}"),
    }
    Some(ExitCode::SUCCESS)
}

/// An error and its causes, as the binary prints them.
fn chain(error: &RanksError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Steps of a training run, for ever.
fn work(ranks: &dyn Ranks) -> Result<(), RanksError> {
    let mut gradients = vec![1.0; 300_000];
    loop {
        ranks.sum(&mut gradients)?;
        gradients.fill(1.0);
        println!("a step");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Prints how fast sums are.
fn measure(ranks: &dyn Ranks) {
    for megabytes in [0.004, 0.1, 1.0, 10.0, 40.0, 160.0] {
        let mut values = vec![0.0_f32; (megabytes * 250_000.0) as usize];
        let times = (0..12).map(|_| {
            ranks.barrier().unwrap();
            let start = Instant::now();
            ranks.sum(&mut values).unwrap();
            start.elapsed().as_secs_f64()
        });
        let least = times.fold(f64::INFINITY, f64::min);
        if ranks.rank() == 0 {
            let (rate, ms) = (megabytes / least, least * 1e3);
            println!("{} ranks, {megabytes} MB: {ms:.3} ms, {rate:.0} MB/s", ranks.size());
        }
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for size in [1, 2, 3] {
        trials.push(trial(&format!("processes::{size}"), move || succeed(size, "suite")));
    }
    for (name, _) in ERRORS {
        trials.push(trial(&format!("processes::3::{name}"), move || succeed(3, name)));
    }
    for rank in 0..3 {
        let name = format!("processes::3::killing_{rank}_ends_the_others");
        trials.push(trial(&name, move || killing_one_ends_the_others(rank)));
    }
    trials
}

fn role(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.env(ROLE, role);
    command
}

#[track_caller]
fn succeed(size: usize, name: &str) {
    let ranks = launch::Ranks::start((0..size).map(|_| role(name)));
    for (rank, output) in ranks.wait(LIMIT).into_iter().enumerate() {
        let faults = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rank {rank} of {size}, {name}: {faults}");
    }
}

/// As by `kill -9`, in the middle of a run.
fn killing_one_ends_the_others(victim: usize) {
    let mut ranks = launch::Ranks::start((0..3).map(|_| role("work")));
    thread::sleep(Duration::from_millis(700));
    ranks.kill(victim);
    let start = Instant::now();
    let outputs = ranks.wait(LIMIT);
    let waited = start.elapsed();
    assert!(waited < Duration::from_secs(30), "the others ended after {waited:?}");
    for (rank, output) in outputs.into_iter().enumerate().filter(|(rank, _)| *rank != victim) {
        let fault = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "rank {rank}: {fault}");
        assert!(fault.starts_with(&format!("rank {victim} is gone")), "rank {rank}: {fault}");
        assert!(!output.stdout.is_empty(), "rank {rank} had not begun");
    }
}
