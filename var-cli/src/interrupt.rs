//! Signals that end the process: at once and with no half-written file, or, while a run trains, after
//! its checkpoint, or, while it serves, after the running job's scale.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use var_host::atomic_file;

/// The signals that are waited for, by number and name.
const SIGNALS: [(u8, &str); 3] = [(1, "SIGHUP"), (2, "SIGINT"), (15, "SIGTERM")];

/// Files to remove when the process is interrupted.
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
/// Whether a run is under way that ends with a checkpoint.
static TRAINS: AtomicBool = AtomicBool::new(false);
/// The way to end a server politely, while there is one.
static SERVER: Mutex<Option<Box<dyn Fn() + Send>>> = Mutex::new(None);
/// The signal that asked the run to end; 0 for none.
static RECEIVED: AtomicU8 = AtomicU8::new(0);

/// Sets the response to Ctrl-C, termination and a terminal that goes away.
///
/// Everything that is kept is written under a temporary name and renamed, so there is nothing to
/// wait for: an immediate end is a clean one. Signals that the caller has had ignored, as `nohup`
/// does, stay ignored.
pub(crate) fn install() -> Result<()> {
    listen().context("cannot wait for signals")
}

#[cfg(unix)]
fn listen() -> io::Result<()> {
    let ignored = ignored();
    let wanted = SIGNALS.map(|(signal, _)| signal).into_iter();
    let wanted = wanted.filter(|signal| ignored & 1 << (signal - 1) == 0).map(i32::from);
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    let wait = move || signals.forever().for_each(|signal| received(signal as u8));
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(())
}

/// The signals that this process was started with ignored: bit n − 1 for signal n. None where the
/// system does not say.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(not(unix))]
fn listen() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| received(2))
}

fn received(signal: u8) {
    let first = RECEIVED.swap(signal, Ordering::SeqCst) == 0;
    if first && TRAINS.load(Ordering::SeqCst) {
        tell(&format!(
            "var: {}: the run ends with a checkpoint after this iteration; a second signal ends it \
             at once",
            name(signal)
        ));
        return;
    }
    if first && let Some(stop) = &*SERVER.lock().unwrap_or_else(PoisonError::into_inner) {
        stop();
        return;
    }
    atomic_file::abandon_unfinished();
    for path in TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        // The process ends whether or not the system obeys.
        let _ = fs::remove_file(path);
    }
    process::exit(exit_code(signal).into());
}

/// Has `path` removed, should the process be interrupted.
pub(crate) fn remove_when_interrupted(path: PathBuf) {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner).push(path);
}

/// While this lives, the first signal waits for the checkpoint of a run.
pub(crate) struct Training(());

impl Training {
    pub(crate) fn begin() -> Self {
        TRAINS.store(true, Ordering::SeqCst);
        Self(())
    }

    /// The signal that asks the run to end, if one was received.
    pub(crate) fn signal(&self) -> Option<u8> {
        Some(RECEIVED.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        TRAINS.store(false, Ordering::SeqCst);
    }
}

/// While this lives, the first signal calls `stop`; a second one ends the process at once.
#[cfg(feature = "serve")]
pub(crate) struct Serving(());

#[cfg(feature = "serve")]
impl Serving {
    pub(crate) fn begin(stop: impl Fn() + Send + 'static) -> Self {
        *SERVER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(stop));
        Self(())
    }
}

#[cfg(feature = "serve")]
impl Drop for Serving {
    fn drop(&mut self) {
        *SERVER.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A run that a signal ended, with its checkpoint.
#[derive(Debug)]
pub(crate) struct Interrupted {
    pub(crate) signal: u8,
    pub(crate) checkpoint: PathBuf,
}

impl Interrupted {
    pub(crate) fn exit_code(&self) -> u8 {
        exit_code(self.signal)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, path) = (name(self.signal), self.checkpoint.display());
        write!(f, "{name}: {path} is written; the same command goes on from it")
    }
}

impl core::error::Error for Interrupted {}

/// Prints a line to standard error, which may be gone with its terminal.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The exit code that shells give a process which a signal ended.
fn exit_code(signal: u8) -> u8 {
    128 + signal
}

fn name(signal: u8) -> &'static str {
    SIGNALS.iter().find(|(number, _)| *number == signal).map_or("a signal", |(_, name)| name)
}
