//! Progress lines of a run.

use std::path::Path;

use var_host::plural::count;
use var_host::train::fit::{Line, Observer};
use var_host::train::metrics::Report;

use crate::args::Session;
use crate::interrupt::Training;
use crate::progress::Progress;

/// Tells how a run goes on the terminal.
pub(super) struct Told<'s> {
    session: &'s Session,
    progress: Progress,
    /// Signals wait for a checkpoint.
    training: Training,
    /// Whether this process speaks for all ranks.
    first: bool,
    last: String,
    /// Whether all iterations were done before.
    pub(super) had_ended: bool,
}

impl<'s> Told<'s> {
    pub(super) fn new(session: &'s Session, iterations: u64, first: bool) -> Self {
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
pub(super) fn validation(report: &Report) -> String {
    format!("validation: {}", losses(report))
}

fn losses(report: &Report) -> String {
    let Report { L_mean, L_tail, acc_mean, acc_tail } = report;
    match (L_tail, acc_tail) {
        (Some(tail), Some(acc_tail)) => {
            format!("L_mean {L_mean:.4} · L_tail {tail:.4} · acc {acc_mean:.2} / {acc_tail:.2} %")
        }
        _ => format!("L_mean {L_mean:.4} · acc {acc_mean:.2} %"),
    }
}

impl Observer for Told<'_> {
    fn begun(&mut self, done: u64, all: u64) {
        self.progress.resume(done);
        self.had_ended = done >= all;
        if done > 0 && self.first && !self.session.quiet {
            self.progress.note(&format!("going on after {done} of {}", count(all, "iteration")));
        }
    }

    fn iteration(&mut self, _: u64, line: Option<&Line>) {
        if let Some(line) = line {
            self.last = format!("{} · {:.1} images/s", losses(&line.report), line.images_per_s);
        }
        self.progress.advance_with(1, &self.last);
    }

    fn signal(&self) -> Option<u8> {
        self.training.signal()
    }

    fn validated(&mut self, done: u64, report: &Report) {
        self.progress.note(&format!("after {}, {}", count(done, "iteration"), validation(report)));
    }

    fn wrote(&mut self, _: &Path) {}

    fn warn(&mut self, text: &str) {
        self.progress.warn(text);
    }
}
