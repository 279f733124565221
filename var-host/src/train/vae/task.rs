//! A VQVAE's training run: its data, validation, reconstructions.

use core::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use var_kernel::cpu::Cpu;

use super::losses::VqvaeLosses;
use super::pixel_losses::PixelLosses;
use super::trainer::{VqvaeStep, VqvaeTrainer};
use crate::data::{
    BatchCursor, BatchSampler, CropPositions, CropSpec, Flip, Folder, ImageBatch, Loader,
    OrderOptions, SamplerMode,
};
use crate::images::{self, RgbImage};
use crate::model::settings::{Settings, VaeSettings};
use crate::parallel::ProcessGroup;
use crate::train::codebook::Usage;
use crate::train::fit::{
    CheckpointParts, Context, Detail, IterationStats, LogMetrics, SamplerOptions, Samples, Score,
    Task,
};
use crate::train::state::Described;
use crate::train::{Storage, TrainError};

/// Images of a grid of reconstructions.
const SHOWN: usize = 10;

/// Images and their crops.
#[derive(Clone)]
pub struct CroppedFolder {
    /// The images.
    pub folder: Arc<Folder>,
    /// Their crops.
    pub crop_spec: CropSpec,
}

/// A VQVAE in training with its data.
pub struct VqvaeTask<'a, S: Storage> {
    trainer: &'a mut VqvaeTrainer<S>,
    storage: &'a S,
    /// Work that stays on the host.
    cpu: Cpu<'a>,
    training: CroppedFolder,
    validation: Option<CroppedFolder>,
    /// Threads that read images ahead.
    workers: usize,
    order: OrderOptions,
    batches: Option<Loader>,
    /// Images of the grid, once they have been read.
    shown: Option<Vec<f32>>,
}

/// Sums over the images of a validation.
pub struct VqvaeSums {
    /// Images.
    count: f64,
    /// Differences times their images.
    pixels: PixelLosses,
    /// Usage of the codes: `scales × codes`.
    usage: Vec<f32>,
}

/// Means over an iteration of a VQVAE.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(non_snake_case, reason = "the names of the log's fields")]
pub struct VqvaeMetrics {
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
    /// Minus the discriminator's mean judgment of reconstructions, where it is heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adversarial: Option<f64>,
    /// The discriminator's own loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discriminator: Option<f64>,
    /// The adaptive factor of its judgment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f32>,
    /// The share of the codes in use at each scale.
    #[serde(rename = "use")]
    pub usage: Vec<f64>,
    /// Codes that began anew, so far.
    pub revived: u64,
}

/// Means over a validation of a VQVAE.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(non_snake_case, reason = "the names of the log's fields")]
pub struct VqvaeReport {
    /// Peak signal-to-noise ratio in dB, of the mean squared difference over all images, clamped.
    pub val_psnr: f64,
    /// Mean absolute difference, of the range 2.
    pub val_L1: f64,
    /// Mean squared difference, of the range 2.
    pub val_L2: f64,
    /// The share of the codes in use at each scale, over the images of the validation.
    pub val_use: Vec<f64>,
}

impl<'a, S: Storage> VqvaeTask<'a, S> {
    /// Trains `trainer` on `training`; images are read ahead by `workers` threads.
    pub fn new(
        trainer: &'a mut VqvaeTrainer<S>,
        storage: &'a S,
        cpu: Cpu<'a>,
        training: CroppedFolder,
        validation: Option<CroppedFolder>,
        workers: usize,
        order: OrderOptions,
    ) -> Self {
        let (batches, shown) = (None, None);
        Self { trainer, storage, cpu, training, validation, workers, order, batches, shown }
    }

    /// A batch's images in microbatches.
    fn microbatches(&self, batch: &ImageBatch) -> Vec<Vec<f32>> {
        let length = self.trainer.image_len();
        let mut values = vec![0.0; batch.crops.len() * length];
        batch.to_values(&mut values);
        let share = batch.crops.len().div_ceil(self.trainer.hyperparameters.parts as usize).max(1);
        values.chunks(share * length).map(<[f32]>::to_vec).collect()
    }

    fn metrics(&self, iteration: u64, step: &VqvaeStep) -> VqvaeMetrics {
        let VqvaeLosses { pixels, perceptual, quantizer, adversarial, discriminator } = step.losses;
        let trainer = &self.trainer;
        let heard = trainer
            .discriminator_state
            .as_ref()
            .filter(|_| trainer.hyperparameters.adversarial(iteration) > 0.0);
        VqvaeMetrics {
            psnr: pixels.psnr(),
            L1: pixels.absolute,
            L2: pixels.squared,
            lpips: trainer.perceptual.is_some().then_some(perceptual),
            vq: quantizer,
            adversarial: heard.map(|_| adversarial),
            discriminator: heard.map(|_| discriminator),
            ratio: heard.map(|discriminator_state| discriminator_state.ratio[0]),
            usage: trainer.codebook_state.usage.shares(),
            revived: trainer.codebook_state.revived,
        }
    }

    /// Images from all over the folder, each cut in the middle.
    fn shown(&self) -> Result<Vec<f32>, TrainError> {
        let CroppedFolder { folder, crop_spec } =
            self.validation.as_ref().unwrap_or(&self.training);
        let crop_spec = CropSpec { crops: CropPositions::Center, flip: Flip::Never, ..*crop_spec };
        let one = SamplerOptions { batch: 1, seed: 0, order: OrderOptions::UNSHUFFLED };
        let batching = one.batching(SamplerMode::Validation, &crate::parallel::SingleProcess);
        let plan = BatchSampler::new(folder.pictures(), batching)?;
        let count = SHOWN.min(folder.pictures());
        let mut values = Vec::new();
        for number in 0..count {
            let from = BatchCursor { epoch: 0, batch: (number * folder.pictures() / count) as u32 };
            let mut loader =
                Loader::start(Arc::clone(folder), plan.clone(), crop_spec, 0, from, 1)?;
            if let Some(batch) = loader.next().transpose()? {
                let start = values.len();
                values.resize(start + batch.crops.len() * self.trainer.image_len(), 0.0);
                batch.to_values(&mut values[start..]);
            }
        }
        Ok(values)
    }
}

impl<S: Storage> Task for VqvaeTask<'_, S> {
    type Storage = S;
    type LogMetrics = VqvaeMetrics;
    type Report = VqvaeReport;
    type Sums = VqvaeSums;

    const COMMAND: &'static str = "train-vae";
    const SAMPLES: &'static str = "reconstructions";

    fn items(&self) -> usize {
        self.training.folder.pictures()
    }

    fn labels(&self) -> Vec<u32> {
        self.training.folder.labels()
    }

    fn sampler_options(&self) -> SamplerOptions {
        let hyperparameters = &self.trainer.hyperparameters;
        SamplerOptions {
            batch: hyperparameters.batch,
            seed: hyperparameters.seed,
            order: self.order,
        }
    }

    fn iterations(&self) -> u64 {
        self.trainer.hyperparameters.schedule.iterations
    }

    fn checkpoint(&mut self) -> CheckpointParts<'_, S> {
        let vae = Some(VaeSettings::from(&self.trainer.config));
        let CroppedFolder { folder, crop_spec } = &self.training;
        let class_names = folder.classes().to_vec();
        let settings = Settings { var: None, vae, class_names, cut: Some(crop_spec.into()) };
        CheckpointParts {
            device: self.storage.device(self.cpu),
            state: self.trainer.state(),
            described: Described { settings, frozen: None },
        }
    }

    fn join(&mut self, ranks: &dyn ProcessGroup) -> Result<Option<&'static str>, TrainError> {
        self.trainer.join(&self.storage.device(self.cpu), ranks)
    }

    fn open(
        &mut self,
        plan: &BatchSampler,
        from: BatchCursor,
        until: u32,
    ) -> Result<(), TrainError> {
        let CroppedFolder { folder, crop_spec } = &self.training;
        let folder = Arc::clone(folder);
        self.batches =
            Some(Loader::start(folder, plan.clone(), *crop_spec, self.workers, from, until)?);
        Ok(())
    }

    fn step(
        &mut self,
        context: &mut Context<'_>,
        iteration: u64,
        detail: Option<Detail>,
    ) -> Result<IterationStats<VqvaeMetrics>, TrainError> {
        let batches = self.batches.as_mut().expect("the data is open");
        let batch = batches.next().expect("a run has as many batches as iterations")?;
        context.warn_broken(&batch.broken, "another stands in for it");
        let parts = self.microbatches(&batch);
        let device = self.storage.device(self.cpu);
        let step = self.trainer.step(&device, &self.cpu, context.ranks, iteration, &parts)?;
        let metrics = detail.map(|_| self.metrics(iteration, &step));
        Ok(IterationStats { norm: step.norm, rate: step.rate, decay: step.decay, metrics })
    }

    fn has_validation(&self) -> bool {
        self.validation.is_some()
    }

    fn validate(&mut self, context: &mut Context<'_>) -> Result<VqvaeSums, TrainError> {
        let CroppedFolder { folder, crop_spec } =
            self.validation.as_ref().expect("there is validation data");
        let config = self.trainer.config;
        let usage = vec![0.0; config.ladder.scales() * config.codes];
        let mut sums = VqvaeSums { count: 0.0, pixels: PixelLosses::default(), usage };
        let batching = self.sampler_options().batching(SamplerMode::Validation, context.ranks);
        let plan = BatchSampler::new(folder.pictures(), batching)?;
        let start = BatchCursor { epoch: 0, batch: 0 };
        let loader = Loader::start(Arc::clone(folder), plan, *crop_spec, self.workers, start, 1)?;
        for batch in loader {
            let batch = batch?;
            context.warn_broken(&batch.broken, "left out of the validation");
            context.ranks.check()?;
            if context.observer.signal().is_some() {
                break;
            }
            for part in self.microbatches(&batch) {
                let device = self.storage.device(self.cpu);
                let came = self.trainer.reconstruct(&device, &part)?;
                let count = (part.len() / self.trainer.image_len()) as f64;
                let differences = PixelLosses::of(&came.pictures, &part);
                sums.count += count;
                sums.pixels.absolute += count * differences.absolute;
                sums.pixels.squared += count * differences.squared;
                for (sum, hit) in sums.usage.iter_mut().zip(came.hits) {
                    *sum += hit as f32;
                }
            }
        }
        Ok(sums)
    }

    fn report(
        &self,
        sums: VqvaeSums,
        ranks: &dyn ProcessGroup,
    ) -> Result<Option<VqvaeReport>, TrainError> {
        let Some(CroppedFolder { folder, .. }) = &self.validation else { return Ok(None) };
        let VqvaeSums { count, pixels: PixelLosses { absolute, squared }, mut usage } = sums;
        let mut all = [count, absolute, squared];
        ranks.sum_f64(&mut all)?;
        ranks.sum(&mut usage)?;
        let [count, absolute, squared] = all;
        if count == 0.0 {
            return Ok(None);
        }
        let pixels = PixelLosses { absolute: absolute / count, squared: squared / count };
        let ladder = &self.trainer.config.ladder;
        let cells: Vec<usize> = (0..ladder.scales()).map(|scale| ladder.cells(scale)).collect();
        let mut in_use = Usage::new(self.trainer.config.codes, &cells, folder.pictures());
        in_use.note(&usage);
        Ok(Some(VqvaeReport {
            val_psnr: pixels.psnr(),
            val_L1: pixels.absolute,
            val_L2: pixels.squared,
            val_use: in_use.shares(),
        }))
    }

    /// Images of validation, else of training, above their reconstructions.
    fn sample(&mut self, _: &Path) -> Result<Option<Samples>, TrainError> {
        let originals = match self.shown.take() {
            Some(shown) => shown,
            None => self.shown()?,
        };
        let device = self.storage.device(self.cpu);
        let came = self.trainer.reconstruct(&device, &originals)?.pictures;
        let side = self.trainer.config.side();
        let picture = |values: &[f32]| RgbImage::from_values(side, side, values);
        let rows = [&originals, &came].map(|row| row.chunks_exact(3 * side * side).map(picture));
        let all: Vec<RgbImage> = rows.into_iter().flatten().collect();
        let columns = all.len() / 2;
        self.shown = Some(originals);
        if columns == 0 {
            return Ok(None);
        }
        let grid = images::grid(&all, columns, 2).expect("a small grid");
        Ok(Some(Samples { grid, parameters: Vec::new() }))
    }
}

/// The share of the codes in use at each scale by their tags.
fn in_use(part: &str, shares: &[f64]) -> impl Iterator<Item = (String, f64)> {
    let tags = (0..).map(move |scale| format!("{part}/use_{scale}"));
    tags.zip(shares.to_vec())
}

impl LogMetrics for VqvaeMetrics {
    fn scalars(&self) -> Vec<(String, f64)> {
        let all = [
            ("train/psnr", Some(self.psnr)),
            ("train/L1", Some(self.L1)),
            ("train/L2", Some(self.L2)),
            ("train/lpips", self.lpips),
            ("train/vq", Some(self.vq)),
            ("train/adversarial", self.adversarial),
            ("train/discriminator", self.discriminator),
            ("train/ratio", self.ratio.map(f64::from)),
            ("codebook/revived", Some(self.revived as f64)),
        ];
        let known = all.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?)));
        known.chain(in_use("codebook", &self.usage)).collect()
    }
}

impl fmt::Display for VqvaeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.psnr, &self.usage)
    }
}

impl LogMetrics for VqvaeReport {
    fn scalars(&self) -> Vec<(String, f64)> {
        let all = [
            ("validation/psnr", self.val_psnr),
            ("validation/L1", self.val_L1),
            ("validation/L2", self.val_L2),
        ];
        let all = all.into_iter().map(|(tag, value)| (tag.to_owned(), value));
        all.chain(in_use("validation", &self.val_use)).collect()
    }
}

impl Score for VqvaeReport {
    fn improvement(&self, best: Option<f64>) -> Option<f64> {
        let psnr = self.val_psnr;
        (!psnr.is_nan() && best.is_none_or(|best| psnr > best)).then_some(psnr)
    }
}

impl fmt::Display for VqvaeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.val_psnr, &self.val_use)
    }
}

/// `PSNR 22.15 dB · codes in use 71 84 90 97 %`
fn write(f: &mut fmt::Formatter<'_>, psnr: f64, shares: &[f64]) -> fmt::Result {
    let shares: Vec<String> = shares.iter().map(|share| format!("{:.0}", 100.0 * share)).collect();
    write!(f, "PSNR {psnr:.2} dB · codes in use {} %", shares.join(" "))
}
