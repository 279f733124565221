//! How far a long command is: a bar on a terminal, a line now and then otherwise.

use core::time::Duration;
use std::io::{self, IsTerminal};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use var_host::plural::noun;

use crate::interrupt::tell;

/// Time between two lines where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Progress through a known number of things.
pub(crate) struct Progress {
    shown: Shown,
    total: u64,
    done: u64,
    /// Items done before, which count for no rate.
    before: u64,
    unit: String,
    begun: Instant,
    last_line: Instant,
}

enum Shown {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Progress {
    /// Nothing done yet of `total`, one of which is called `unit`.
    pub(crate) fn new(quiet: bool, total: u64, unit: &str) -> Self {
        let unit = noun(total, unit);
        let shown = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Shown::Nothing,
            (false, false) => Shown::Lines,
            (false, true) => {
                let template = format!(
                    "{{bar:30}} {{pos}}/{{len}} {unit} {{msg}} · {{per_sec}} · {{eta}} left"
                );
                let style =
                    ProgressStyle::with_template(&template).expect("the template is well-formed");
                let bar = ProgressBar::new(total).with_style(style);
                bar.enable_steady_tick(Duration::from_millis(200));
                Shown::Bar(bar)
            }
        };
        let now = Instant::now();
        Self { shown, total, done: 0, before: 0, unit, begun: now, last_line: now }
    }

    /// So many were done before this began.
    pub(crate) fn resume(&mut self, done: u64) {
        (self.done, self.before) = (done, done);
        if let Shown::Bar(bar) = &self.shown {
            bar.set_position(done);
            bar.reset_eta();
        }
    }

    /// So many more are done.
    pub(crate) fn advance(&mut self, more: u64) {
        self.advance_with(more, "");
    }

    /// So many more are done, and `text` says how it goes.
    pub(crate) fn advance_with(&mut self, more: u64, text: &str) {
        self.done += more;
        if let Shown::Bar(bar) = &self.shown {
            bar.set_position(self.done);
            if !text.is_empty() {
                bar.set_message(text.to_owned());
            }
        }
        self.line_if_due(text);
    }

    /// Something worth a line of its own.
    pub(crate) fn note(&self, text: &str) {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(|| tell(text)),
            Shown::Lines => tell(text),
            Shown::Nothing => {}
        }
    }

    /// Where within the current one the work is.
    pub(crate) fn detail(&mut self, text: &str) {
        if let Shown::Bar(bar) = &self.shown {
            bar.set_message(text.to_owned());
        }
        self.line_if_due(text);
    }

    /// Something that went wrong and is not the end: no option hides it.
    pub(crate) fn warn(&self, text: &str) {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(|| tell(&format!("var: {text}"))),
            Shown::Lines | Shown::Nothing => tell(&format!("var: {text}")),
        }
    }

    fn line_if_due(&mut self, detail: &str) {
        if matches!(self.shown, Shown::Lines) && self.last_line.elapsed() >= BETWEEN_LINES {
            self.last_line = Instant::now();
            let done = [self.before, self.done];
            tell(&line(done, self.total, &self.unit, detail, self.begun.elapsed()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// `12/50 images scale 3/10 · 0.80/s · 47 s left`; without a rate before the first is done.
fn line(
    [before, done]: [u64; 2],
    total: u64,
    unit: &str,
    detail: &str,
    elapsed: Duration,
) -> String {
    let space = if detail.is_empty() { "" } else { " " };
    let begin = format!("{done}/{total} {unit}{space}{detail}");
    if done == before {
        return begin;
    }
    let rate = (done - before) as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = total.saturating_sub(done) as f64 / rate;
    format!("{begin} · {rate:.2}/s · {left:.0} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_has_rate_and_time_left() {
        let after = Duration::from_secs(15);
        assert_eq!(line([0, 12], 50, "images", "", after), "12/50 images · 0.80/s · 48 s left");
        assert_eq!(line([38, 50], 62, "images", "", after), "50/62 images · 0.80/s · 15 s left");
        assert_eq!(line([0, 0], 50, "images", "scale 3/10", after), "0/50 images scale 3/10");
    }
}
