//! A training run from where it stands to its end.

mod outputs;

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::calendar::Calendar;
use super::lessons::{Batches, DataSet, lessons};
use super::metrics::{Report, Tally};
use super::state::{self, Progress};
use super::trainer::{Lesson, Step};
use super::validation::{Judged, Validation};
use super::{Home, TrainError, Trainer, interruption};
use crate::data::Batching;
use crate::data::{BrokenPicture, Pass, Plan};
use crate::engine::Engine;
use crate::model::Weights;
use crate::parallel::Ranks;
use crate::run::Checkpoints;
use outputs::Outputs;

pub use outputs::Line;

/// So many iterations in a row with gradients that are not finite end a run.
const MOST_REFUSED: u32 = 30;

/// A run: its data, its folder, and its intervals.
pub struct Run<'a> {
    /// Training data.
    pub training: &'a DataSet,
    /// Validation data, if any.
    pub validation: Option<&'a DataSet>,
    /// The VQVAE, and the names of the classes.
    pub given: &'a Weights,
    /// Where everything is written; only the first rank writes.
    pub folder: &'a Path,
    /// Iterations of the whole run.
    pub iterations: u64,
    /// Whether every epoch has an order of its own.
    pub shuffle: bool,
    /// Iterations between two checkpoints; 0 for none but that of the end.
    pub save_every: u64,
    /// How many checkpoints stay.
    pub keep: usize,
    /// Epochs between two validations, the last at the end; 0 for none.
    pub validate_every: u32,
    /// Epochs between two grids of samples, the last at the end; 0 for none.
    pub sample_every: u32,
    /// Iterations between two lines of the log, the last of the run among them; 0 for none.
    pub log_every: u64,
    /// Iterations between two lines with each scale by itself; 0 for none.
    pub details_every: u64,
}

/// Receives a run's events.
pub trait Observer {
    /// The run begins, or goes on, after so many of all its iterations.
    fn begun(&mut self, done: u64, all: u64);
    /// An iteration is done.
    fn iteration(&mut self, done: u64, line: Option<&Line>);
    /// The number of the signal that asks this rank to end the run, if one was received, below 32: all
    /// ranks end with a checkpoint from which the run can go on.
    fn signal(&self) -> Option<u8>;
    /// The model was judged after so many iterations.
    fn validated(&mut self, done: u64, report: &Report);
    /// A file was written.
    fn wrote(&mut self, path: &Path);
    /// Something went wrong that is not the end.
    fn warn(&mut self, text: &str);
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Where it stands.
    pub progress: Progress,
    /// The last validation, if there was one.
    pub report: Option<Report>,
    /// The checkpoint of the end.
    pub checkpoint: PathBuf,
    /// The signal that ended it, if one did.
    pub signal: Option<u8>,
}

/// Iterations of an epoch of so many items.
///
/// # Errors
/// If there are too few items for one batch, or it cannot be shared evenly.
pub fn iterations_of_epoch(items: usize, batch: u32, ranks: &dyn Ranks) -> Result<u64, TrainError> {
    let batching = Batching {
        pass: Pass::Training,
        batch,
        rank: ranks.rank() as u32,
        ranks: ranks.size() as u32,
        seed: 0,
        shuffle: false,
    };
    Ok(Plan::new(items, batching)?.batches().into())
}

/// Trains `trainer` until the run is done, from its newest checkpoint if it has one.
///
/// # Errors
/// If data, folder or another rank fail, or gradients stay not finite; the last checkpoint is whole
/// then.
pub fn fit<H: Home>(
    run: &Run<'_>,
    trainer: &mut Trainer<H>,
    home: &H,
    engine: &mut Engine<'_>,
    ranks: &dyn Ranks,
    observer: &mut dyn Observer,
) -> Result<Ended, TrainError> {
    let recipe = trainer.recipe;
    let of_epoch = iterations_of_epoch(run.training.items(), recipe.batch, ranks)?;
    let checkpoints = Checkpoints::new(run.folder, run.keep);
    let progress = resume(trainer, &home.device(engine.cpu()), &checkpoints, ranks, observer)?;
    if let Some(warning) = trainer.join(&home.device(engine.cpu()), ranks)? {
        observer.warn(warning);
    }
    let mut fit = Fit {
        outputs: match ranks.rank() {
            0 => Some(Outputs::open(run, checkpoints, progress.iterations)?),
            _ => None,
        },
        run,
        trainer,
        home,
        engine,
        ranks,
        observer,
        calendar: Calendar {
            iterations: run.iterations,
            of_epoch,
            save_every: run.save_every,
            validate_every: run.validate_every,
            sample_every: run.sample_every,
        },
        judged: None,
        signal: None,
        surplus: true,
        saved: progress.iterations,
        progress,
        begun: Instant::now(),
        images: 0,
    };
    fit.run()
}

/// Where the run stands, on every rank.
fn resume<H: Home>(
    trainer: &mut Trainer<H>,
    d: &H::Device<'_>,
    checkpoints: &Checkpoints,
    ranks: &dyn Ranks,
    observer: &mut dyn Observer,
) -> Result<Progress, TrainError> {
    let mut progress = Progress::default();
    if ranks.rank() == 0
        && let Some(saved) = checkpoints.newest(&mut |text| observer.warn(&text))?
    {
        progress = state::restore(trainer, d, &saved.checkpoint, &saved.path)?;
    }
    state::share(trainer, d, progress, ranks)
}

/// A run under way.
struct Fit<'a, 'r, 'w, H: Home> {
    run: &'r Run<'a>,
    trainer: &'r mut Trainer<H>,
    home: &'r H,
    engine: &'r mut Engine<'w>,
    ranks: &'r dyn Ranks,
    observer: &'r mut dyn Observer,
    outputs: Option<Outputs>,
    progress: Progress,
    /// Intervals of saving, validation and samples.
    calendar: Calendar,
    /// Validation data, once a walk over it was begun.
    judged: Option<Validation<'r>>,
    /// The signal that ends the run, on all ranks the same.
    signal: Option<u8>,
    /// Whether there may be more checkpoints than are to be kept: until an update has shown that the
    /// newest, of iteration `saved`, can be learnt from.
    surplus: bool,
    saved: u64,
    /// When the images that are counted began to be learnt from.
    begun: Instant,
    images: u64,
}

impl<H: Home> Fit<'_, '_, '_, H> {
    fn run(&mut self) -> Result<Ended, TrainError> {
        let mut done = self.progress.iterations;
        self.observer.begun(done, self.run.iterations);
        let plan = Plan::new(self.run.training.items(), self.batching(Pass::Training))?;
        let calendar = self.calendar;
        let mut batches =
            self.run.training.batches(&plan, calendar.place(done), calendar.epochs())?;
        let mut report = None;
        // Outputs that a signal or a kill left undone after the checkpoint.
        if self.progress.unjudged {
            report = self.validate(done)?;
            self.save()?;
        }
        if done > 0 && calendar.samples(done) && !self.is_stuck() && self.lacks_samples(done) {
            self.sample(done)?;
        }
        while done < self.run.iterations && self.signal.is_none() {
            let lessons = self.lessons(&mut batches)?;
            self.iteration(done, &lessons)?;
            done += 1;
            self.signal = interruption::of_any_rank(self.ranks, self.observer.signal())?;
            if self.is_stuck() && calendar.is_last(done) {
                return Err(self.not_finite());
            }
            if calendar.validates(done) && !self.is_stuck() {
                report = self.validate(done)?;
            }
            let sampled = calendar.samples(done) && !self.is_stuck();
            if calendar.saves(done) || self.signal.is_some() || sampled {
                self.save()?;
            }
            if sampled && self.signal.is_none() {
                self.sample(done)?;
            }
        }
        if calendar.is_last(done) && self.progress.refused == 0 {
            self.remove_surplus()?;
        }
        Ok(Ended {
            progress: self.progress.clone(),
            report,
            checkpoint: self.run.folder.join("ckpt-last.safetensors"),
            signal: self.signal,
        })
    }

    /// Whether the weights make no finite gradients; half precision may still look for its scale.
    fn is_stuck(&self) -> bool {
        let searches = self.trainer.loss_scale.is_some_and(|scale| scale.factor >= 1.0);
        self.progress.refused > 0 && !searches
    }

    fn not_finite(&self) -> TrainError {
        let kept = self.outputs.as_ref().map(|outputs| &outputs.checkpoints);
        TrainError::not_finite(self.progress.iterations, self.progress.refused, kept)
    }

    /// Whether this rank writes samples and those of an iteration are not there.
    fn lacks_samples(&self, done: u64) -> bool {
        self.outputs.as_ref().is_some_and(|outputs| !outputs.has_samples(done))
    }

    fn batching(&self, pass: Pass) -> Batching {
        let recipe = &self.trainer.recipe;
        let (rank, ranks) = (self.ranks.rank() as u32, self.ranks.size() as u32);
        let shuffle = pass == Pass::Training && self.run.shuffle;
        Batching { pass, batch: recipe.batch, rank, ranks, seed: recipe.seed, shuffle }
    }

    /// This rank's share of the next batch, in as many parts as the recipe says.
    fn lessons(&mut self, batches: &mut Batches<'_>) -> Result<Vec<Lesson>, TrainError> {
        let next = batches.next(self.engine)?.expect("a run has as many batches as iterations");
        self.tell_broken(&next.broken, "another stands in for it");
        let images = next.labels.len().div_ceil(self.trainer.recipe.parts as usize);
        lessons(self.engine, &next.labels, &next.tokens, images)
    }

    fn tell_broken(&mut self, broken: &[BrokenPicture], so: &str) {
        for picture in broken {
            let text = format!("{}: {}: {so}", picture.path.display(), picture.reason);
            self.observer.warn(&text);
        }
    }

    /// One step, and the line of the log that is due.
    fn iteration(&mut self, number: u64, parts: &[Lesson]) -> Result<(), TrainError> {
        let due = |every: u64| every > 0 && number.is_multiple_of(every);
        let with_details = due(self.run.details_every);
        let is_last = number + 1 == self.run.iterations;
        let with_line =
            with_details || due(self.run.log_every) || is_last && self.run.log_every > 0;
        let scale = self.trainer.loss_scale.map(|scale| scale.factor);
        let step = {
            let device = self.home.device(self.engine.cpu());
            self.trainer.step(&device, self.ranks, number, parts, with_line)?
        };
        self.images += u64::from(self.trainer.recipe.batch);
        self.progress.iterations = number + 1;
        self.note(number, &step)?;
        let mut line = None;
        if let Some(tally) = &step.tally {
            let rate = self.images as f64 / self.begun.elapsed().as_secs_f64();
            (self.begun, self.images) = (Instant::now(), 0);
            let epoch = number / self.calendar.of_epoch;
            let of_step = Line::new(number, epoch, &step, tally, scale, rate, with_details);
            if let Some(outputs) = &mut self.outputs {
                outputs.line(&of_step)?;
            }
            line = Some(of_step);
        }
        self.observer.iteration(number + 1, line.as_ref());
        Ok(())
    }

    /// Counts iterations that left the weights as they were; too many in a row are an error.
    fn note(&mut self, iteration: u64, step: &Step) -> Result<(), TrainError> {
        if step.norm.is_finite() {
            self.progress.refused = 0;
            return self.remove_surplus();
        }
        self.progress.refused += 1;
        self.progress.refused_in_all += 1;
        let count = self.progress.refused;
        // Half precision looks for its scale this way; that is told of only if it does not end. All
        // ranks refuse the same updates: one tells.
        if self.trainer.loss_scale.is_none() && self.ranks.rank() == 0 {
            let all = self.progress.refused_in_all;
            self.observer.warn(&format!(
                "iteration {iteration}: a gradient is not finite: weights left as they were \
                 ({all} so far)"
            ));
        }
        if count >= MOST_REFUSED { Err(self.not_finite()) } else { Ok(()) }
    }

    /// Judges the model by all that there is to judge by; keeps it if it is the best so far.
    fn validate(&mut self, done: u64) -> Result<Option<Report>, TrainError> {
        let Some(set) = self.run.validation else { return Ok(None) };
        let mut judged = match self.judged.take() {
            Some(judged) => judged,
            None => {
                let plan = Plan::new(set.items(), self.batching(Pass::Validation))?;
                let recipe = &self.trainer.recipe;
                let share = recipe.batch as usize / self.ranks.size();
                Validation::new(set, plan, share.div_ceil(recipe.parts as usize))
            }
        };
        let (ladder, codes) = (self.trainer.config.ladder, self.trainer.config.codes);
        let mut tally = Tally::new(ladder, codes);
        judged.begin()?;
        while self.observer.signal().is_none()
            && let Some(Judged { lessons, broken }) = judged.next(self.engine)?
        {
            self.tell_broken(&broken, "left out of the validation");
            for lesson in &lessons {
                self.ranks.check()?;
                self.trainer.judge(&self.home.device(self.engine.cpu()), lesson, &mut tally)?;
            }
        }
        self.judged = Some(judged);
        self.signal = interruption::of_any_rank(self.ranks, self.observer.signal())?;
        self.progress.unjudged = self.signal.is_some();
        if self.progress.unjudged {
            return Ok(None);
        }
        tally.sum(self.ranks)?;
        if tally.images() == 0 {
            self.observer.warn("not one picture to validate on can be read");
            return Ok(None);
        }
        let report = tally.report();
        let tail = report.L_tail.expect("a validation is over all scales");
        let best = tail.is_finite() && self.progress.best_tail.is_none_or(|best| tail < best);
        if best {
            self.progress.best_tail = Some(tail);
        }
        if let Some(outputs) = &mut self.outputs {
            outputs.validated(
                done - 1,
                (done - 1) / self.calendar.of_epoch,
                &report,
                &tally.details(),
            )?;
            if best {
                let numbers = state::read(self.trainer, &self.home.device(self.engine.cpu()))?;
                let records =
                    state::records(self.trainer, &numbers, &self.progress, self.run.given);
                self.observer.wrote(&outputs.save_best(done, records)?);
            }
        }
        self.observer.validated(done, &report);
        // Time spent on this does not count for the next iterations.
        (self.begun, self.images) = (Instant::now(), 0);
        Ok(Some(report))
    }

    fn save(&mut self) -> Result<(), TrainError> {
        let Some(outputs) = &mut self.outputs else { return Ok(()) };
        let numbers = state::read(self.trainer, &self.home.device(self.engine.cpu()))?;
        let records = state::records(self.trainer, &numbers, &self.progress, self.run.given);
        let Progress { iterations, refused, .. } = self.progress;
        let stuck_since = (refused > 0).then(|| iterations - u64::from(refused));
        self.observer.wrote(&outputs.save(iterations, records, stuck_since)?);
        (self.surplus, self.saved) = (true, iterations);
        Ok(())
    }

    fn remove_surplus(&mut self) -> Result<(), TrainError> {
        if let (true, Some(outputs)) = (core::mem::take(&mut self.surplus), &self.outputs) {
            outputs.checkpoints.remove_surplus(self.saved)?;
        }
        Ok(())
    }

    fn sample(&mut self, done: u64) -> Result<(), TrainError> {
        let Some(outputs) = &mut self.outputs else { return Ok(()) };
        let (classes, seed) = (self.trainer.config.classes, self.trainer.recipe.seed);
        let (threads, isa) = (self.engine.threads(), self.engine.isa());
        self.observer.wrote(&outputs.sample(done, classes, seed, threads, isa)?);
        (self.begun, self.images) = (Instant::now(), 0);
        Ok(())
    }
}
