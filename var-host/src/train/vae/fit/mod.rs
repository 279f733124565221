//! A VQVAE's training run from where it stands to its end.

mod outputs;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use var_kernel::cpu::Cpu;

use super::pixels::Differences;
use super::state::{self, Progress};
use super::trainer::{Losses, Step};
use super::{Recipe, Trainer};
use crate::data::{Batch, Batching, BrokenPicture, Folder, Loader, Pass, Place, Plan, Views};
use crate::parallel::Ranks;
use crate::run::Checkpoints;
use crate::train::calendar::Calendar;
use crate::train::codebook::Usage;
use crate::train::{Home, TrainError, interruption};
use outputs::Outputs;

/// So many iterations in a row with gradients that are not finite end a run.
const MOST_REFUSED: u32 = 30;

/// Pictures of a grid of reconstructions.
const SHOWN: usize = 10;

/// A run: its data, its folder, and its intervals.
pub struct Run<'a> {
    /// Training data, and its crops.
    pub training: (Arc<Folder>, Views),
    /// Validation data, if any.
    pub validation: Option<(Arc<Folder>, Views)>,
    /// Threads that read pictures ahead.
    pub workers: usize,
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
    /// Epochs between two grids of reconstructions, the last at the end; 0 for none.
    pub sample_every: u32,
    /// Iterations between two lines of the log, the last of the run among them; 0 for none.
    pub log_every: u64,
}

/// How well pictures come back.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(non_snake_case, reason = "the names of the log's fields")]
pub struct Report {
    /// Peak signal-to-noise ratio in dB, of the mean squared difference over all pictures, clamped.
    pub val_psnr: f64,
    /// Mean absolute difference, of the range 2.
    pub val_L1: f64,
    /// Mean squared difference, of the range 2.
    pub val_L2: f64,
    /// The share of the codes in use at each scale, over the pictures judged.
    pub val_use: Vec<f64>,
}

/// A line of the log (`log.jsonl`).
#[derive(Clone, Debug, Serialize)]
#[expect(non_snake_case, reason = "the names of the log's fields")]
pub struct Line {
    /// The iteration, from 0.
    pub iter: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// Peak signal-to-noise ratio of the batch in dB, not clamped.
    pub psnr: f64,
    /// Mean absolute difference, of the range 2.
    pub L1: f64,
    /// Mean squared difference, of the range 2.
    pub L2: f64,
    /// LPIPS, where it is part of the loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lpips: Option<f64>,
    /// The quantizer's loss.
    pub vq: f64,
    /// Minus the discriminator's mean judgement of reconstructions, where it is heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adversarial: Option<f64>,
    /// The discriminator's own loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discriminator: Option<f64>,
    /// The adaptive factor of its judgement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f32>,
    /// The share of the codes in use at each scale.
    #[serde(rename = "use")]
    pub usage: Vec<f64>,
    /// Codes that began anew, so far.
    pub revived: u64,
    /// The gradient's norm before clipping; none if it is not finite.
    pub grad_norm: Option<f64>,
    /// The learning rate.
    pub lr: f64,
    /// The weight decay.
    pub wd: f64,
    /// Images a second since the line before.
    pub images_per_s: f64,
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

/// Trains `trainer` until the run is done, from its newest checkpoint if it has one; `cpu` does the
/// work that stays on the host.
///
/// # Errors
/// If data, folder or another rank fail, or gradients stay not finite; the last checkpoint is whole
/// then.
pub fn fit<'c, H: Home>(
    run: &Run<'_>,
    trainer: &mut Trainer<H>,
    device: &H::Device<'c>,
    cpu: &Cpu<'c>,
    ranks: &dyn Ranks,
    observer: &mut dyn Observer,
) -> Result<Ended, TrainError> {
    let batch = trainer.recipe.batch;
    let of_epoch = crate::train::fit::iterations_of_epoch(run.training.0.pictures(), batch, ranks)?;
    let checkpoints = Checkpoints::new(run.folder, run.keep);
    let mut progress = Progress::default();
    if ranks.rank() == 0
        && let Some(saved) = checkpoints.newest(&mut |text| observer.warn(&text))?
    {
        progress = state::restore(trainer, device, &saved.checkpoint, &saved.path)?;
    }
    let progress = state::share(trainer, device, progress, ranks)?;
    let outputs = match ranks.rank() {
        0 => Some(Outputs::open(run.folder, checkpoints, progress.iterations)?),
        _ => None,
    };
    if let Some(warning) = trainer.join(device, ranks)? {
        observer.warn(warning);
    }
    let begun = Instant::now();
    let (shown, images) = (None, 0);
    let mut fit = Fit {
        run,
        trainer,
        device,
        cpu,
        ranks,
        observer,
        outputs,
        saved: progress.iterations,
        progress,
        calendar: Calendar {
            iterations: run.iterations,
            of_epoch,
            save_every: run.save_every,
            validate_every: run.validate_every,
            sample_every: run.sample_every,
        },
        shown,
        signal: None,
        surplus: true,
        begun,
        images,
    };
    fit.run()
}

/// A run under way.
struct Fit<'a, 'r, 'c, H: Home> {
    run: &'r Run<'a>,
    trainer: &'r mut Trainer<H>,
    device: &'r H::Device<'c>,
    cpu: &'r Cpu<'c>,
    ranks: &'r dyn Ranks,
    observer: &'r mut dyn Observer,
    outputs: Option<Outputs>,
    progress: Progress,
    /// Intervals of saving, validation and samples.
    calendar: Calendar,
    /// Pictures of the grid, once they have been read.
    shown: Option<Vec<f32>>,
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
        let calendar = self.calendar;
        let mut batches = self.loader(Pass::Training, calendar.place(done), calendar.epochs())?;
        let mut report = None;
        // Outputs that a signal broke off.
        if self.progress.unjudged {
            report = self.validate(done)?;
            if calendar.samples(done) && !self.progress.unjudged {
                self.show(done)?;
            }
            self.save()?;
        }
        while done < self.run.iterations && self.signal.is_none() {
            let batch = batches.next().expect("a run has as many batches as iterations")?;
            self.tell_broken(&batch.broken, "another stands in for it");
            self.iteration(done, &batch)?;
            done += 1;
            self.signal = interruption::of_any_rank(self.ranks, self.observer.signal())?;
            let stuck = self.progress.refused > 0;
            if stuck && calendar.is_last(done) {
                return Err(self.not_finite());
            }
            if calendar.validates(done) && !stuck {
                report = self.validate(done)?;
            }
            if calendar.samples(done) && !stuck && !self.progress.unjudged {
                self.show(done)?;
            }
            // Last: a run killed before this writes its other outputs again.
            if calendar.saves(done) || self.signal.is_some() {
                self.save()?;
            }
        }
        if calendar.is_last(done) && self.progress.refused == 0 {
            self.remove_surplus()?;
        }
        let checkpoint = self.run.folder.join("ckpt-last.safetensors");
        Ok(Ended { progress: self.progress.clone(), report, checkpoint, signal: self.signal })
    }

    fn not_finite(&self) -> TrainError {
        let kept = self.outputs.as_ref().map(|outputs| &outputs.checkpoints);
        TrainError::not_finite(self.progress.iterations, self.progress.refused, kept)
    }

    /// This rank's share of the batches, from `from` to the epoch before `until`.
    fn loader(&self, pass: Pass, from: Place, until: u32) -> Result<Loader, TrainError> {
        let set = match pass {
            Pass::Training => Some(&self.run.training),
            Pass::Validation => self.run.validation.as_ref(),
        };
        let (folder, views) = set.expect("whoever asks has looked");
        let Recipe { batch, seed, .. } = self.trainer.recipe;
        let (rank, ranks) = (self.ranks.rank() as u32, self.ranks.size() as u32);
        let shuffle = pass == Pass::Training && self.run.shuffle;
        let batching = Batching { pass, batch, rank, ranks, seed, shuffle };
        let plan = Plan::new(folder.pictures(), batching)?;
        Ok(Loader::start(Arc::clone(folder), plan, *views, self.run.workers, from, until)?)
    }

    fn tell_broken(&mut self, broken: &[BrokenPicture], so: &str) {
        for picture in broken {
            let text = format!("{}: {}: {so}", picture.path.display(), picture.reason);
            self.observer.warn(&text);
        }
    }

    /// One step, and the line of the log that is due.
    fn iteration(&mut self, number: u64, batch: &Batch) -> Result<(), TrainError> {
        let parts = self.parts(batch);
        let step = self.trainer.step(self.device, self.cpu, self.ranks, number, &parts)?;
        self.images += u64::from(self.trainer.recipe.batch);
        self.progress.iterations = number + 1;
        self.note(number, &step)?;
        let mut line = None;
        let (every, is_last) = (self.run.log_every, number + 1 == self.run.iterations);
        if every > 0 && (is_last || number.is_multiple_of(every)) {
            let rate = self.images as f64 / self.begun.elapsed().as_secs_f64();
            (self.begun, self.images) = (Instant::now(), 0);
            let of_step = self.line(number, &step, rate);
            if let Some(outputs) = &mut self.outputs {
                outputs.line(&of_step)?;
            }
            line = Some(of_step);
        }
        self.observer.iteration(number + 1, line.as_ref());
        Ok(())
    }

    /// A batch's pictures in as many parts as the recipe says.
    fn parts(&self, batch: &Batch) -> Vec<Vec<f32>> {
        let mut values = vec![0.0; batch.views.len() * self.trainer.picture_len()];
        batch.to_values(&mut values);
        let share = batch.views.len().div_ceil(self.trainer.recipe.parts as usize).max(1);
        values.chunks(share * self.trainer.picture_len()).map(<[f32]>::to_vec).collect()
    }

    fn line(&self, iter: u64, step: &Step, images_per_s: f64) -> Line {
        let Losses { pixels, perceptual, quantizer, adversarial, discriminator } = step.losses;
        let trainer = &self.trainer;
        let heard = trainer.critic.as_ref().filter(|_| trainer.recipe.adversarial(iter) > 0.0);
        Line {
            iter,
            epoch: iter / self.calendar.of_epoch,
            psnr: pixels.psnr(),
            L1: pixels.absolute,
            L2: pixels.squared,
            lpips: trainer.perceptual.is_some().then_some(perceptual),
            vq: quantizer,
            adversarial: heard.map(|_| adversarial),
            discriminator: heard.map(|_| discriminator),
            ratio: heard.map(|critic| critic.ratio[0]),
            usage: trainer.keeper.usage.shares(),
            revived: trainer.keeper.revived,
            grad_norm: step.norm.is_finite().then_some(step.norm),
            lr: step.rate,
            wd: step.decay,
            images_per_s,
        }
    }

    /// Counts iterations that left the weights as they were; too many in a row are an error.
    fn note(&mut self, iteration: u64, step: &Step) -> Result<(), TrainError> {
        if step.norm.is_finite() {
            self.progress.refused = 0;
            return self.remove_surplus();
        }
        self.progress.refused += 1;
        self.progress.refused_in_all += 1;
        let (count, all) = (self.progress.refused, self.progress.refused_in_all);
        // All ranks refuse the same updates: one tells.
        if self.ranks.rank() == 0 {
            self.observer.warn(&format!(
                "iteration {iteration}: a gradient is not finite: weights left as they were ({all} \
                 so far)"
            ));
        }
        if count >= MOST_REFUSED { Err(self.not_finite()) } else { Ok(()) }
    }

    /// Judges the model by all that there is to judge by; keeps it if it is the best so far.
    fn validate(&mut self, done: u64) -> Result<Option<Report>, TrainError> {
        let Some((folder, _)) = &self.run.validation else { return Ok(None) };
        let (config, images) = (self.trainer.config, folder.pictures());
        let (codes, ladder) = (config.codes, config.ladder);
        let mut hits = vec![0.0; ladder.scales() * codes];
        let mut sums = [0.0; 3];
        for batch in self.loader(Pass::Validation, Place { epoch: 0, batch: 0 }, 1)? {
            let batch = batch?;
            self.tell_broken(&batch.broken, "left out of the validation");
            self.ranks.check()?;
            if self.observer.signal().is_some() {
                break;
            }
            for part in self.parts(&batch) {
                let came = self.trainer.reconstruct(self.device, &part)?;
                let count = (part.len() / self.trainer.picture_len()) as f64;
                let differences = Differences::of(&came.pictures, &part);
                sums[0] += count;
                sums[1] += count * differences.absolute;
                sums[2] += count * differences.squared;
                for (sum, hit) in hits.iter_mut().zip(came.hits) {
                    *sum += hit as f32;
                }
            }
        }
        self.signal = interruption::of_any_rank(self.ranks, self.observer.signal())?;
        self.progress.unjudged = self.signal.is_some();
        if self.progress.unjudged {
            return Ok(None);
        }
        self.ranks.sum_f64(&mut sums)?;
        self.ranks.sum(&mut hits)?;
        (self.begun, self.images) = (Instant::now(), 0);
        let [count, absolute, squared] = sums;
        if count == 0.0 {
            self.observer.warn("not one picture to validate on can be read");
            return Ok(None);
        }
        let pixels = Differences { absolute: absolute / count, squared: squared / count };
        let cells: Vec<usize> = (0..ladder.scales()).map(|scale| ladder.cells(scale)).collect();
        let mut usage = Usage::new(codes, &cells, images);
        usage.note(&hits);
        let report = Report {
            val_psnr: pixels.psnr(),
            val_L1: pixels.absolute,
            val_L2: pixels.squared,
            val_use: usage.shares(),
        };
        let psnr = report.val_psnr;
        let best = !psnr.is_nan() && self.progress.best_psnr.is_none_or(|best| psnr > best);
        if best {
            self.progress.best_psnr = Some(report.val_psnr);
        }
        if let Some(outputs) = &mut self.outputs {
            outputs.validated(done - 1, (done - 1) / self.calendar.of_epoch, &report)?;
            if best {
                let (folder, views) = &self.run.training;
                let (names, cut) = (folder.classes(), Some(views.into()));
                let numbers = state::read(self.trainer, self.device)?;
                let records = state::records(self.trainer, &numbers, &self.progress, names, cut);
                outputs.save_best(done, records)?;
            }
        }
        self.observer.validated(done, &report);
        Ok(Some(report))
    }

    fn save(&mut self) -> Result<(), TrainError> {
        let Some(outputs) = &mut self.outputs else { return Ok(()) };
        let (folder, views) = &self.run.training;
        let (names, cut) = (folder.classes(), Some(views.into()));
        let numbers = state::read(self.trainer, self.device)?;
        let records = state::records(self.trainer, &numbers, &self.progress, names, cut);
        let Progress { iterations, refused, .. } = self.progress;
        let stuck_since = (refused > 0).then(|| iterations - u64::from(refused));
        outputs.save(iterations, records, stuck_since)?;
        (self.surplus, self.saved) = (true, iterations);
        Ok(())
    }

    fn remove_surplus(&mut self) -> Result<(), TrainError> {
        if let (true, Some(outputs)) = (core::mem::take(&mut self.surplus), &self.outputs) {
            outputs.checkpoints.remove_surplus(self.saved)?;
        }
        Ok(())
    }

    /// Writes a grid: pictures of validation, else of training, above their reconstructions.
    fn show(&mut self, done: u64) -> Result<(), TrainError> {
        if self.outputs.is_none() {
            return Ok(());
        }
        let originals = match self.shown.take() {
            Some(shown) => shown,
            None => self.shown_pictures()?,
        };
        let came = self.trainer.reconstruct(self.device, &originals)?.pictures;
        if let Some(outputs) = &mut self.outputs {
            outputs.show(done, self.trainer.config.side(), &originals, &came)?;
        }
        self.shown = Some(originals);
        (self.begun, self.images) = (Instant::now(), 0);
        Ok(())
    }

    /// Pictures from all over the folder, each cut in the middle.
    fn shown_pictures(&self) -> Result<Vec<f32>, TrainError> {
        let (folder, views) = self.run.validation.as_ref().unwrap_or(&self.run.training);
        let views =
            Views { crops: crate::data::Crops::Centre, flip: crate::data::Flip::Never, ..*views };
        let batching = Batching {
            pass: Pass::Validation,
            batch: 1,
            rank: 0,
            ranks: 1,
            seed: 0,
            shuffle: false,
        };
        let plan = Plan::new(folder.pictures(), batching)?;
        let count = SHOWN.min(folder.pictures());
        let mut values = Vec::new();
        for number in 0..count {
            let from = Place { epoch: 0, batch: (number * folder.pictures() / count) as u32 };
            let mut loader = Loader::start(Arc::clone(folder), plan, views, 0, from, 1)?;
            if let Some(batch) = loader.next().transpose()? {
                let start = values.len();
                values.resize(start + batch.views.len() * self.trainer.picture_len(), 0.0);
                batch.to_values(&mut values[start..]);
            }
        }
        Ok(values)
    }
}
