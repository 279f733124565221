//! A training run on the terminal: of `var train` and `var train-vae`.

use core::fmt;
use std::path::Path;

use anyhow::Result;
use var_host::parallel::ProcessGroup;
use var_host::plural::count;
use var_host::run::{self, RunConfig};
use var_host::train::fit::{Line, LogMetrics, RunOptions, Task, TrainObserver, fit};

use crate::args::Session;
use crate::interrupt::{Interrupted, Training};
use crate::progress::Progress;
use crate::{extend, identity};

/// Shows on the terminal how a run goes.
struct TerminalObserver<'s> {
    session: &'s Session,
    progress: Progress,
    /// Signals wait for a checkpoint.
    training: Training,
    /// Whether this process speaks for all ranks.
    first: bool,
    last: String,
    /// Whether all iterations were done before.
    had_ended: bool,
}

impl<'s> TerminalObserver<'s> {
    fn new(session: &'s Session, iterations: u64, first: bool) -> Self {
        let progress = Progress::new(session.quiet || !first, iterations, "iteration");
        Self {
            session,
            progress,
            training: Training::begin(),
            first,
            last: String::new(),
            had_ended: false,
        }
    }
}

/// `validation: L_mean 2.256 · L_tail 2.103 · acc 12.34 / 14.56 %`
fn validation(report: &(impl fmt::Display + ?Sized)) -> String {
    format!("validation: {report}")
}

impl TrainObserver for TerminalObserver<'_> {
    fn started(&mut self, done: u64, all: u64) {
        self.progress.resume(done);
        self.had_ended = done >= all;
        if done > 0 && self.first && !self.session.quiet {
            self.progress.note(&format!("going on after {done} of {}", count(all, "iteration")));
        }
    }

    fn iteration(&mut self, _: u64, line: Option<&Line<'_>>) {
        if let Some(Line { metrics, images_per_s, .. }) = line {
            self.last = format!("{metrics} · {images_per_s:.1} images/s");
        }
        self.progress.advance_with(1, &self.last);
    }

    fn signal(&self) -> Option<u8> {
        self.training.signal()
    }

    fn validated(&mut self, done: u64, report: &dyn LogMetrics) {
        self.progress.note(&format!("after {}, {}", count(done, "iteration"), validation(report)));
    }

    fn warn(&mut self, text: &str) {
        self.progress.warn(text);
    }
}

/// Runs `work` while the folder of a run is locked, by rank 0; refuses options that affect training and
/// differ from those it was begun with. A new run that is refused leaves nothing.
pub(crate) fn in_folder(
    folder: &Path,
    mut config: RunConfig,
    is_of_any_length: bool,
    (ranks, session): (&dyn ProcessGroup, &Session),
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if ranks.rank() != 0 {
        return work();
    }
    if is_of_any_length {
        extend::release_length(&mut config);
    }
    identity::tell_unknown_digests(folder, &config.learned, session)?;
    let begun = run::begin(folder, &config).map_err(|error| extend::explain(error, folder))?;
    begun.hold(work)
}

/// Runs `task` to its end, and says how it ended.
pub(crate) fn run<T: Task>(
    options: &RunOptions,
    task: &mut T,
    ranks: &dyn ProcessGroup,
    is_of_any_length: bool,
    session: &Session,
) -> Result<()> {
    let first = ranks.rank() == 0;
    let mut observer = TerminalObserver::new(session, task.iterations(), first);
    let ended = fit(options, task, ranks, &mut observer)?;
    let had_ended = observer.had_ended;
    drop(observer);
    if let Some(signal) = ended.signal {
        return Err(Interrupted { signal, checkpoint: ended.checkpoint }.into());
    }
    if first {
        if had_ended {
            session.say(&extend::advice(&options.folder, is_of_any_length))?;
        }
        if let Some(report) = ended.report {
            session.say(&validation(&report))?;
        }
        let iterations = count(ended.progress.iterations, "iteration");
        session.say(&format!("{}: {iterations}", ended.checkpoint.display()))?;
    }
    Ok(())
}
