//! Progress lines of a run.

use var_host::plural::count;
use var_host::train::vae::fit::{Line, Observer, Report};

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

/// `validation: PSNR 22.15 dB · codes in use 71 84 90 97 %`
pub(super) fn validation(report: &Report) -> String {
    format!("validation: PSNR {:.2} dB · {}", report.val_psnr, usage(&report.val_use))
}

fn usage(shares: &[f64]) -> String {
    let shares: Vec<String> = shares.iter().map(|share| format!("{:.0}", 100.0 * share)).collect();
    format!("codes in use {} %", shares.join(" "))
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
            let (psnr, usage, rate) = (line.psnr, usage(&line.usage), line.images_per_s);
            self.last = format!("PSNR {psnr:.2} dB · {usage} · {rate:.1} images/s");
        }
        self.progress.advance_with(1, &self.last);
    }

    fn signal(&self) -> Option<u8> {
        self.training.signal()
    }

    fn validated(&mut self, done: u64, report: &Report) {
        self.progress.note(&format!("after {}, {}", count(done, "iteration"), validation(report)));
    }

    fn warn(&mut self, text: &str) {
        self.progress.warn(text);
    }
}
