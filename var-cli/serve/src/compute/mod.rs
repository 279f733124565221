//! The thread with the model: one job after the other.

mod codec;
mod draw;
mod report;
mod score;
mod stopped;

use core::panic::AssertUnwindSafe;
use std::panic;
use std::sync::Arc;

use var_host::Model;

use crate::description::Description;
use crate::fault::{Fault, Kind};
use crate::jobs::{Jobs, Outcome, Started};
use crate::observed::Observed;
use crate::request::Task;
use report::Reporter;
use stopped::Stopped;

/// The model and the jobs it works on.
pub(crate) struct Computer {
    pub(crate) model: Model,
    pub(crate) description: Arc<Description>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) observed: Arc<Observed>,
}

impl Computer {
    /// Works until the server ends.
    pub(crate) fn run(mut self) {
        while let Some(Started { id, task, interrupt }) = self.jobs.start_next() {
            self.model.set_interrupt(interrupt.clone());
            let report = Reporter {
                description: &self.description,
                jobs: &self.jobs,
                id,
                interrupt: &interrupt,
            };
            // The model keeps nothing of a call that unwinds.
            let work = AssertUnwindSafe(|| work(&mut self.model, report, task));
            let outcome = match panic::catch_unwind(work) {
                Ok(Ok(())) => Outcome::Done,
                Ok(Err(Stopped::Canceled)) => Outcome::Canceled,
                Ok(Err(Stopped::Failed(fault))) => Outcome::Failed(fault),
                Err(_) => Outcome::Failed(Fault::new(Kind::Internal, "a bug ended the job")),
            };
            self.observed.look_at_memory();
            self.jobs.finish(id, outcome, &self.observed.memory_json());
        }
    }
}

fn work(model: &mut Model, report: Reporter<'_>, task: Task) -> Result<(), Stopped> {
    match task {
        Task::Sample { labels, options, previews } => {
            draw::sample(model, report, &labels, options, previews)
        }
        Task::Edit(edit) => draw::edit(model, report, &edit),
        Task::Reconstruct { picture, name } => codec::reconstruct(model, report, &picture, name),
        Task::Encode { picture } => codec::encode(model, report, &picture),
        Task::Decode { tokens, label } => codec::decode(model, report, &tokens, label),
        Task::Score { picture, labels } => score::score(model, report, &picture, &labels),
    }
}
