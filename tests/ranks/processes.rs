//! Ranks that are processes: this program again, in a role.

use core::time::Duration;
use std::env;
use std::process::{Command, ExitCode, Output};
use std::thread;
use std::time::Instant;

use libtest_mimic::Trial;
use var_host::parallel::{self, Launch, ProcessGroup, ProcessGroupError};

use crate::launch;
use crate::{ERRORS, suite, trial};

/// The variable that names this process's role as a rank.
const ROLE: &str = "VAR_TEST_ROLE";

/// Longer than anything here may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Plays the role the environment gives, if it gives one.
pub(crate) fn play_role() -> Option<ExitCode> {
    let role = env::var(ROLE).ok()?;
    let launch = Launch::from_environment().expect("an environment of a launcher");
    let ranks = match parallel::meet(&launch, &|line| eprintln!("{line}")) {
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
        ("work" | "one_dies", _) => {
            let dies = role == "one_dies" && ranks.rank() == 1;
            if let Err(error) = work(&*ranks, dies) {
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
fn chain(error: &ProcessGroupError) -> String {
    let source = core::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Steps of a training run, for ever or until this process kills itself.
fn work(ranks: &dyn ProcessGroup, dies: bool) -> Result<(), ProcessGroupError> {
    let mut gradients = vec![1.0; 300_000];
    for step in 0.. {
        if dies && step == 20 {
            let own = std::process::id().to_string();
            Command::new("kill").args(["-9", &own]).status().expect("the program kill");
        }
        ranks.sum(&mut gradients)?;
        gradients.fill(1.0);
        println!("a step");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Prints how fast sums are.
fn measure(ranks: &dyn ProcessGroup) {
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
    if cfg!(feature = "mpi") || Command::new("mpirun").arg("--version").output().is_ok() {
        trials.extend(mpirun_trials());
    } else {
        eprintln!("left out: ranks that mpirun starts; there is no mpirun");
    }
    trials
}

/// By MPI with the feature `mpi`, over TCP without.
fn mpirun_trials() -> Vec<Trial> {
    let kind = if cfg!(feature = "mpi") { "mpi" } else { "mpirun_without_mpi" };
    let mut trials = Vec::new();
    for size in [1, 2, 3] {
        let run = move || mpirun_succeeds(size, "suite");
        trials.push(trial(&format!("{kind}::{size}"), run));
    }
    for (name, _) in ERRORS {
        trials.push(trial(&format!("{kind}::2::{name}"), move || mpirun_succeeds(2, name)));
    }
    trials.push(trial(&format!("{kind}::3::a_death_ends_the_others"), || {
        let start = Instant::now();
        let output = mpirun(3, "one_dies");
        assert!(!output.status.success());
        assert!(!output.stdout.is_empty(), "they had not begun");
        assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    }));
    trials
}

#[track_caller]
fn mpirun_succeeds(size: usize, name: &str) {
    let output = mpirun(size, name);
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{size} ranks, {name}: {faults}");
}

/// Output of mpirun with ranks in a role, with their variables as mpirun set them.
#[track_caller]
fn mpirun(size: usize, name: &str) -> Output {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "-n", &size.to_string()]);
    command.arg(env::current_exe().expect("this program")).env(ROLE, name);
    launch::ProcessGroup::start_alone(command).wait(LIMIT).remove(0)
}

fn role(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.env(ROLE, role);
    command
}

#[track_caller]
fn succeed(size: usize, name: &str) {
    let ranks = launch::ProcessGroup::start((0..size).map(|_| role(name)));
    for (rank, output) in ranks.wait(LIMIT).into_iter().enumerate() {
        let faults = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rank {rank} of {size}, {name}: {faults}");
    }
}

/// As by `kill -9`, in the middle of a run.
fn killing_one_ends_the_others(victim: usize) {
    let mut ranks = launch::ProcessGroup::start((0..3).map(|_| role("work")));
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
