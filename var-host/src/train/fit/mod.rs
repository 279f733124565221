//! A training run from where it stands to its end: one loop for every network.
//!
//! After an iteration comes the validation that is due, then the checkpoint, then the images that
//! show progress, from what was saved. A run that was killed in between repeats at its start whatever
//! the newest checkpoint lacks.

mod every;
mod interruption;
mod observer;
mod outputs;
mod report;
mod schedule;
mod task;

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use super::TrainError;
use super::state::{self, Progress, Snapshot};
use crate::data::{BatchSampler, OrderOptions, SamplerMode};
use crate::parallel::ProcessGroup;
use crate::run::Checkpoints;
use outputs::Outputs;
use schedule::EventSchedule;

pub use every::Every;
pub use observer::{Context, Line, TrainObserver};
pub use report::{LogMetrics, Score};
pub use task::{CheckpointParts, Detail, IterationStats, SamplerOptions, Samples, Task};

/// So many iterations in a row with gradients that are not finite end a run.
const MAX_REFUSED: u32 = 30;

/// Folder and intervals of a run: nothing that is learned depends on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// Where everything is written; only the first rank writes.
    pub folder: PathBuf,
    /// How many checkpoints stay, the newest included.
    pub keep: usize,
    /// Intervals of the run's events.
    pub every: Intervals,
}

impl RunOptions {
    /// Default intervals in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), keep: 2, every: Intervals::default() }
    }
}

/// Intervals of a run's events; serialized under the names of the options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Intervals {
    /// Iterations between two checkpoints, or an epoch; never is none but that of the end.
    pub save_every: Every,
    /// Epochs between two validations, the last at the end.
    #[serde(rename = "val-every")]
    pub validate_every: Every,
    /// Epochs between two grids of images, the last at the end.
    pub sample_every: Every,
    /// Iterations between two lines of the log, the last of the run among them; 0 for none.
    pub log_every: u64,
    /// Iterations between two lines with each scale by itself; 0 for none.
    pub details_every: u64,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            save_every: Every::Epoch,
            validate_every: Every::Count(10),
            sample_every: Every::Count(10),
            log_every: 10,
            details_every: 500,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOutcome<R> {
    /// Where it stands.
    pub progress: Progress,
    /// The last validation, if there was one.
    pub report: Option<R>,
    /// The checkpoint of the end.
    pub checkpoint: PathBuf,
    /// The signal that ended it, if one did.
    pub signal: Option<u8>,
}

/// Iterations of an epoch of so many items.
///
/// # Errors
/// If there are too few items for one batch, or it cannot be shared evenly.
pub fn iterations_of_epoch(
    items: usize,
    batch: u32,
    ranks: &dyn ProcessGroup,
) -> Result<u64, TrainError> {
    let sampler_options = SamplerOptions { batch, seed: 0, order: OrderOptions::UNSHUFFLED };
    Ok(BatchSampler::new(items, sampler_options.batching(SamplerMode::Training, ranks))?
        .batches()
        .into())
}

/// Trains until the run is done, from its newest checkpoint if it has one.
///
/// # Errors
/// If data, folder or another rank fail, or gradients stay not finite; the last checkpoint is whole
/// then.
pub fn fit<T: Task>(
    options: &RunOptions,
    task: &mut T,
    ranks: &dyn ProcessGroup,
    observer: &mut dyn TrainObserver,
) -> Result<RunOutcome<T::Report>, TrainError> {
    let batch = task.sampler_options().batch;
    let epoch = iterations_of_epoch(task.items(), batch, ranks)?;
    let checkpoints = Checkpoints::new(&options.folder, options.keep);
    let mut context = Context { ranks, observer };
    let progress = resume(task, &checkpoints, &mut context)?;
    if let Some(warning) = task.join(ranks)? {
        context.observer.warn(warning);
    }
    let outputs = match ranks.rank() {
        0 => Some(Outputs::open(&options.folder, checkpoints, progress.iterations)?),
        _ => None,
    };
    let schedule = EventSchedule {
        iterations: task.iterations(),
        epoch,
        save_every: options.every.save_every.iterations(epoch),
        validate_every: options.every.validate_every.epochs(),
        sample_every: options.every.sample_every.epochs(),
    };
    let mut run = Run {
        options,
        task,
        context,
        outputs,
        schedule,
        signal: None,
        surplus: true,
        saved: progress.iterations,
        progress,
        since: Instant::now(),
        images: 0,
    };
    run.run()
}

/// Where the run stands, on every rank.
fn resume<T: Task>(
    task: &mut T,
    checkpoints: &Checkpoints,
    context: &mut Context<'_>,
) -> Result<Progress, TrainError> {
    let mut progress = Progress::default();
    if context.ranks.rank() == 0
        && let Some(saved) = checkpoints.newest(&mut |text| context.observer.warn(&text))?
    {
        let CheckpointParts { device, state, .. } = task.checkpoint();
        progress = state::restore::<T::Storage>(&device, state, &saved.checkpoint, &saved.path)?;
    }
    let CheckpointParts { device, state, .. } = task.checkpoint();
    state::share::<T::Storage>(&device, state, progress, context.ranks)
}

/// A run under way.
struct Run<'r, T: Task> {
    options: &'r RunOptions,
    task: &'r mut T,
    context: Context<'r>,
    /// On the first rank.
    outputs: Option<Outputs>,
    progress: Progress,
    schedule: EventSchedule,
    /// The signal that ends the run, on all ranks the same.
    signal: Option<u8>,
    /// Whether there may be more checkpoints than are to be kept: until an update has shown that the
    /// newest, of iteration `saved`, can be trained from.
    surplus: bool,
    saved: u64,
    /// Start of the time in which `images` were trained on.
    since: Instant,
    images: u64,
}

impl<T: Task> Run<'_, T> {
    fn run(&mut self) -> Result<RunOutcome<T::Report>, TrainError> {
        let (mut done, schedule) = (self.progress.iterations, self.schedule);
        self.context.observer.started(done, schedule.iterations);
        let options = self.task.sampler_options();
        let batching = options.batching(SamplerMode::Training, self.context.ranks);
        let mut plan = BatchSampler::new(self.task.items(), batching)?;
        if let Some(balance) = options.order.balance {
            plan = plan.balanced(self.task.labels().into(), balance);
        }
        self.task.open(&plan, schedule.place(done), schedule.epochs())?;
        let mut report = None;
        // Outputs that a signal or a kill left undone after the checkpoint.
        if self.progress.unjudged {
            report = self.validate(done)?;
            self.save()?;
        }
        if done > 0 && schedule.samples(done) && !self.is_stuck() && self.lacks_samples(done) {
            self.sample(done)?;
        }
        while done < schedule.iterations && self.signal.is_none() {
            self.iteration(done)?;
            done += 1;
            self.agree_on_signal()?;
            if self.is_stuck() && schedule.is_last(done) {
                return Err(self.not_finite());
            }
            if schedule.validates(done) && !self.is_stuck() {
                report = self.validate(done)?;
            }
            let samples = schedule.samples(done) && !self.is_stuck();
            if schedule.saves(done) || self.signal.is_some() || samples {
                self.save()?;
            }
            if samples && self.signal.is_none() {
                self.sample(done)?;
            }
        }
        if schedule.is_last(done) && self.progress.refused == 0 {
            self.remove_surplus()?;
        }
        let checkpoint = self.checkpoint();
        Ok(RunOutcome { progress: self.progress.clone(), report, checkpoint, signal: self.signal })
    }

    fn checkpoint(&self) -> PathBuf {
        self.options.folder.join(crate::run::checkpoints::LAST)
    }

    fn agree_on_signal(&mut self) -> Result<(), TrainError> {
        let own = self.context.observer.signal();
        self.signal = interruption::of_any_rank(self.context.ranks, own)?;
        Ok(())
    }

    /// Whether the weights make no finite gradients; half precision may still look for its scale.
    fn is_stuck(&self) -> bool {
        let searches = self.task.loss_scale().is_some_and(|factor| factor >= 1.0);
        self.progress.refused > 0 && !searches
    }

    fn not_finite(&self) -> TrainError {
        let kept = self.outputs.as_ref().map(|outputs| &outputs.checkpoints);
        TrainError::not_finite(self.progress.iterations, self.progress.refused, kept)
    }

    /// Whether this rank writes images and those of an iteration are not there.
    fn lacks_samples(&self, done: u64) -> bool {
        let outputs = self.outputs.as_ref();
        outputs.is_some_and(|outputs| !outputs.samples_path(T::SAMPLES, done).exists())
    }

    /// One step, and the line of the log that is due.
    fn iteration(&mut self, number: u64) -> Result<(), TrainError> {
        let Intervals { log_every, details_every, .. } = self.options.every;
        let due = |every: u64| every > 0 && number.is_multiple_of(every);
        let is_last = number + 1 == self.schedule.iterations;
        let detail = match (due(details_every), due(log_every) || is_last && log_every > 0) {
            (true, _) => Some(Detail::Scales),
            (false, true) => Some(Detail::Means),
            (false, false) => None,
        };
        let step = self.task.step(&mut self.context, number, detail)?;
        self.images += u64::from(self.task.sampler_options().batch);
        self.progress.iterations = number + 1;
        self.count_refused(number, step.norm)?;
        let Some(metrics) = &step.metrics else {
            self.context.observer.iteration(number + 1, None);
            return Ok(());
        };
        let images_per_s = self.images as f64 / self.since.elapsed().as_secs_f64();
        self.restart_clock();
        let line = Line {
            iter: number,
            epoch: number / self.schedule.epoch,
            metrics,
            grad_norm: step.norm.is_finite().then_some(step.norm),
            lr: step.rate,
            wd: step.decay,
            images_per_s,
        };
        if let Some(outputs) = &mut self.outputs {
            let logged = outputs.line(&line, metrics)?;
            self.context.observer.logged(&logged);
        }
        self.context.observer.iteration(number + 1, Some(&line));
        Ok(())
    }

    /// Counts iterations that left the weights as they were; too many in a row are an error.
    fn count_refused(&mut self, iteration: u64, norm: f64) -> Result<(), TrainError> {
        if norm.is_finite() {
            self.progress.refused = 0;
            return self.remove_surplus();
        }
        self.progress.refused += 1;
        self.progress.refused_in_all += 1;
        let (count, all) = (self.progress.refused, self.progress.refused_in_all);
        // Half precision looks for its scale this way; that is told of only if it does not end. All
        // ranks refuse the same updates: one tells.
        if self.task.loss_scale().is_none() && self.context.ranks.rank() == 0 {
            self.context.observer.warn(&format!(
                "iteration {iteration}: a gradient is not finite: weights left as they were ({all} \
                 so far)"
            ));
        }
        if count >= MAX_REFUSED { Err(self.not_finite()) } else { Ok(()) }
    }

    /// Validates the model on all validation data; saves it if it is the best so far.
    fn validate(&mut self, done: u64) -> Result<Option<T::Report>, TrainError> {
        if !self.task.has_validation() {
            return Ok(None);
        }
        let sums = self.task.validate(&mut self.context)?;
        self.agree_on_signal()?;
        self.progress.unjudged = self.signal.is_some();
        if self.progress.unjudged {
            return Ok(None);
        }
        let report = self.task.report(sums, self.context.ranks)?;
        if let Some(report) = &report {
            let improvement = report.improvement(self.progress.best);
            self.progress.best = improvement.or(self.progress.best);
            if let Some(outputs) = &mut self.outputs {
                let epoch = (done - 1) / self.schedule.epoch;
                let logged = outputs.validated(done - 1, epoch, report)?;
                self.context.observer.logged(&logged);
                if improvement.is_some() {
                    let snapshot = snapshot(self.task)?;
                    let path = outputs.save_best(&snapshot, &self.progress)?;
                    self.context.observer.wrote(&path);
                }
            }
            self.context.observer.validated(done, report);
        } else {
            self.context.observer.warn("not one image to validate on can be read");
        }
        self.restart_clock();
        Ok(report)
    }

    fn save(&mut self) -> Result<(), TrainError> {
        let Some(outputs) = &mut self.outputs else { return Ok(()) };
        let path = outputs.save(&snapshot(self.task)?, &self.progress)?;
        self.context.observer.wrote(&path);
        (self.surplus, self.saved) = (true, self.progress.iterations);
        Ok(())
    }

    fn remove_surplus(&mut self) -> Result<(), TrainError> {
        if let (true, Some(outputs)) = (core::mem::take(&mut self.surplus), &self.outputs) {
            outputs.checkpoints.remove_surplus(self.saved)?;
        }
        Ok(())
    }

    /// Writes the images that show progress, from the checkpoint just saved.
    fn sample(&mut self, done: u64) -> Result<(), TrainError> {
        let checkpoint = self.checkpoint();
        let Some(outputs) = &mut self.outputs else { return Ok(()) };
        if let Some(samples) = self.task.sample(&checkpoint)? {
            let path = outputs.samples(done, T::SAMPLES, T::COMMAND, samples)?;
            self.context.observer.wrote(&path);
        }
        self.restart_clock();
        Ok(())
    }

    /// Time spent on outputs does not count for the next iterations.
    fn restart_clock(&mut self) {
        (self.since, self.images) = (Instant::now(), 0);
    }
}

/// The state of `task`, for the host to read.
fn snapshot<T: Task>(task: &mut T) -> Result<Snapshot<'_>, TrainError> {
    let CheckpointParts { device, state, described } = task.checkpoint();
    Snapshot::read::<T::Storage>(&device, state, described)
}
