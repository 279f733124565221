//! Receiver of a run's events.

use std::path::Path;

use super::LogMetrics;
use crate::data::BrokenImage;
use crate::parallel::ProcessGroup;
use crate::run::LogLine;

/// Receives a run's events.
pub trait TrainObserver {
    /// The run begins, or goes on, after so many of all its iterations.
    fn started(&mut self, done: u64, all: u64) {
        let _ = (done, all);
    }

    /// An iteration is done.
    fn iteration(&mut self, done: u64, line: Option<&Line<'_>>) {
        let _ = (done, line);
    }

    /// The number of the signal that asks this rank to end the run, if one was received, below 32: all
    /// ranks end with a checkpoint from which the run can go on.
    fn signal(&self) -> Option<u8> {
        None
    }

    /// The model was validated after so many iterations.
    fn validated(&mut self, done: u64, report: &dyn LogMetrics) {
        let _ = (done, report);
    }

    /// A line was added to `log.jsonl`, of an iteration or a validation; on the first rank.
    fn logged(&mut self, line: &LogLine) {
        let _ = line;
    }

    /// A file was written.
    fn wrote(&mut self, path: &Path) {
        let _ = path;
    }

    /// Something went wrong that is not the end.
    fn warn(&mut self, text: &str);
}

/// A line of the log.
pub struct Line<'m> {
    /// The iteration, from 0.
    pub iter: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// Means over the iteration's images.
    pub metrics: &'m dyn LogMetrics,
    /// The gradient's norm before clipping; none if it is not finite.
    pub grad_norm: Option<f64>,
    /// The learning rate.
    pub lr: f64,
    /// The weight decay.
    pub wd: f64,
    /// Images a second since the line before.
    pub images_per_s: f64,
}

/// Surroundings of a task: the other ranks, and the receiver of events.
pub struct Context<'r> {
    /// The ranks.
    pub ranks: &'r dyn ProcessGroup,
    /// The receiver.
    pub observer: &'r mut dyn TrainObserver,
}

impl Context<'_> {
    /// Warns of images that cannot be read; `so`: the consequence.
    pub fn warn_broken(&mut self, broken: &[BrokenImage], so: &str) {
        for picture in broken {
            let text = format!("{}: {}: {so}", picture.path.display(), picture.reason);
            self.observer.warn(&text);
        }
    }
}
