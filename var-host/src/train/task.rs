//! A transformer's training run: its data, validation, samples.

use core::fmt;
use core::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;

use super::dataset::{BatchIter, DataSet, microbatches};
use super::fit::{
    CheckpointParts, Context, Detail, IterationStats, LogMetrics, SamplerOptions, Samples, Score,
    Task,
};
use super::metrics::{MetricAccumulator, ScaleMetrics, TokenMetrics};
use super::state::Described;
use super::teacher::{FrozenQuantizer, TeacherInputs};
use super::validation::ValidationSet;
use super::{Storage, TrainError, VarTrainer};
use crate::data::{BatchCursor, BatchSampler, OrderOptions, SamplerMode};
use crate::engine::{Engine, ImageSpec, Sampling};
use crate::images;
use crate::model::settings::VarSettings;
use crate::model::{Hints, Weights};
use crate::parallel::ProcessGroup;

/// Columns of a grid of samples, and the most rows.
const COLUMNS: usize = 10;
const ROWS: usize = 2;

/// A transformer in training with its data.
pub struct VarTask<'a, 'w, S: Storage> {
    trainer: &'a mut VarTrainer<S>,
    /// Tokens → input.
    quantizer: FrozenQuantizer<S>,
    storage: &'a S,
    /// The VQVAE at work.
    engine: &'a mut Engine<'w>,
    /// The VQVAE, and the names of the classes.
    given: &'a Weights,
    training: &'a DataSet,
    order: OrderOptions,
    batches: Option<BatchIter<'a>>,
    validation: Option<&'a DataSet>,
    /// Validation data, once a walk over it was begun.
    walked: Option<ValidationSet<'a>>,
}

impl<'a, 'w, S: Storage> VarTask<'a, 'w, S> {
    /// Trains `trainer` on `training`.
    ///
    /// `engine` turns images into tokens by the VQVAE of `given`, which also has the classes' names.
    pub fn new(
        (trainer, quantizer): (&'a mut VarTrainer<S>, FrozenQuantizer<S>),
        storage: &'a S,
        engine: &'a mut Engine<'w>,
        given: &'a Weights,
        training: &'a DataSet,
        validation: Option<&'a DataSet>,
        order: OrderOptions,
    ) -> Self {
        let (batches, walked) = (None, None);
        Self {
            trainer,
            quantizer,
            storage,
            engine,
            given,
            training,
            order,
            batches,
            validation,
            walked,
        }
    }

    /// The most images of a microbatch.
    fn microbatch(&self, images: usize) -> usize {
        images.div_ceil(self.trainer.hyperparameters.parts as usize)
    }
}

/// Means over an iteration of a transformer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VarMetrics {
    /// Losses and accuracy.
    #[serde(flatten)]
    pub report: TokenMetrics,
    /// Loss scale; 1 but in half precision.
    pub loss_scale: f32,
    /// Number of scales that are trained.
    pub scales: usize,
    /// Each scale by itself, now and then.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub details: Option<ScaleMetrics>,
}

/// Means over a validation of a transformer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(non_snake_case, reason = "the names of the log's fields")]
pub struct VarReport {
    /// Mean loss over all positions, in nats.
    pub val_L_mean: f64,
    /// Mean loss over the positions of the last scale.
    pub val_L_tail: f64,
    /// Share of positions with the target as the most likely token, in %.
    pub val_acc_mean: f64,
    /// The same over the last scale.
    pub val_acc_tail: f64,
    /// Mean loss of each scale, in nats.
    pub val_L_scale: Vec<f64>,
    /// Accuracy on each scale, in %.
    pub val_acc_scale: Vec<f64>,
    /// Share of the codes that are predicted at all, in %.
    #[serde(skip)]
    pub codes_predicted: f64,
}

impl VarReport {
    /// # Panics
    /// If not all scales were evaluated.
    fn new(accumulator: &MetricAccumulator) -> Self {
        let (means, each) = (accumulator.report(), accumulator.details());
        let all = "a validation is over all scales";
        Self {
            val_L_mean: means.L_mean,
            val_L_tail: means.L_tail.expect(all),
            val_acc_mean: means.acc_mean,
            val_acc_tail: means.acc_tail.expect(all),
            val_L_scale: each.L_scale,
            val_acc_scale: each.acc_scale,
            codes_predicted: each.codes_predicted,
        }
    }

    fn means(&self) -> TokenMetrics {
        TokenMetrics {
            L_mean: self.val_L_mean,
            L_tail: Some(self.val_L_tail),
            acc_mean: self.val_acc_mean,
            acc_tail: Some(self.val_acc_tail),
        }
    }
}

/// Means by their tags, `part/L_mean` and so on.
fn means(part: &str, report: &TokenMetrics) -> Vec<(String, f64)> {
    let TokenMetrics { L_mean, L_tail, acc_mean, acc_tail } = *report;
    let all = [
        ("L_mean", Some(L_mean)),
        ("L_tail", L_tail),
        ("acc_mean", Some(acc_mean)),
        ("acc_tail", acc_tail),
    ];
    all.into_iter().filter_map(|(name, value)| Some((format!("{part}/{name}"), value?))).collect()
}

/// Means of each scale by their tags, `part-scales/L_0` and so on.
fn of_scales(part: &str, losses: &[f64], accuracies: &[f64], codes: f64) -> Vec<(String, f64)> {
    let tagged = |name, values: &[f64]| -> Vec<(String, f64)> {
        let tags = (0..).map(|scale| format!("{part}-scales/{name}_{scale}"));
        tags.zip(values.iter().copied()).collect()
    };
    let mut all = tagged("L", losses);
    all.extend(tagged("acc", accuracies));
    all.push((format!("{part}-scales/codes_predicted"), codes));
    all
}

impl LogMetrics for VarMetrics {
    fn scalars(&self) -> Vec<(String, f64)> {
        let mut all = means("train", &self.report);
        all.push(("optimizer/loss_scale".to_owned(), self.loss_scale.into()));
        if let Some(ScaleMetrics { L_scale, acc_scale, codes_predicted }) = &self.details {
            all.extend(of_scales("train", L_scale, acc_scale, *codes_predicted));
        }
        all
    }
}

impl fmt::Display for VarMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.fmt(f)
    }
}

impl LogMetrics for VarReport {
    fn scalars(&self) -> Vec<(String, f64)> {
        let mut all = means("validation", &self.means());
        let Self { val_L_scale, val_acc_scale, codes_predicted, .. } = self;
        all.extend(of_scales("validation", val_L_scale, val_acc_scale, *codes_predicted));
        all
    }
}

impl Score for VarReport {
    fn improvement(&self, best: Option<f64>) -> Option<f64> {
        let tail = self.val_L_tail;
        (tail.is_finite() && best.is_none_or(|best| tail < best)).then_some(tail)
    }
}

impl fmt::Display for VarReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.means().fmt(f)
    }
}

impl<S: Storage> Task for VarTask<'_, '_, S> {
    type Storage = S;
    type LogMetrics = VarMetrics;
    type Report = VarReport;
    type Sums = MetricAccumulator;

    const COMMAND: &'static str = "train";
    const SAMPLES: &'static str = "samples";

    fn items(&self) -> usize {
        self.training.items()
    }

    fn labels(&self) -> Vec<u32> {
        self.training.labels()
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

    fn loss_scale(&self) -> Option<f32> {
        self.trainer.loss_scale.map(|scale| scale.factor)
    }

    fn checkpoint(&mut self) -> CheckpointParts<'_, S> {
        let var = Some(VarSettings::from(&self.trainer.config));
        let settings = crate::model::convert::settings(self.given);
        let settings = crate::model::settings::Settings { var, ..settings };
        CheckpointParts {
            device: self.storage.device(self.engine.cpu()),
            state: self.trainer.state(),
            described: Described { settings, frozen: Some(self.given) },
        }
    }

    fn join(&mut self, ranks: &dyn ProcessGroup) -> Result<Option<&'static str>, TrainError> {
        self.trainer.join(&self.storage.device(self.engine.cpu()), ranks)
    }

    fn open(
        &mut self,
        plan: &BatchSampler,
        from: BatchCursor,
        until: u32,
    ) -> Result<(), TrainError> {
        self.batches = Some(self.training.batches(plan, from, until)?);
        Ok(())
    }

    fn step(
        &mut self,
        context: &mut Context<'_>,
        iteration: u64,
        detail: Option<Detail>,
    ) -> Result<IterationStats<VarMetrics>, TrainError> {
        let batches = self.batches.as_mut().expect("the data is open");
        let next = batches.next(self.engine)?.expect("a run has as many batches as iterations");
        context.warn_broken(&next.broken, "another stands in for it");
        let images = self.microbatch(next.labels.len());
        let parts: Vec<_> = microbatches(&next, images).collect();
        let loss_scale = self.loss_scale().unwrap_or(1.0);
        let device = self.storage.device(self.engine.cpu());
        let (inputs, report) = (&mut self.quantizer, detail.is_some());
        let step = self.trainer.step(&device, context.ranks, iteration, &parts, inputs, report)?;
        let metrics = step.accumulator.as_ref().map(|accumulator| VarMetrics {
            report: accumulator.report(),
            loss_scale,
            scales: step.stage.scales,
            details: (detail == Some(Detail::Scales)).then(|| accumulator.details()),
        });
        Ok(IterationStats { norm: step.norm, rate: step.rate, decay: step.decay, metrics })
    }

    fn has_validation(&self) -> bool {
        self.validation.is_some()
    }

    fn validate(&mut self, context: &mut Context<'_>) -> Result<MetricAccumulator, TrainError> {
        let set = self.validation.expect("there is validation data");
        let mut walked = match self.walked.take() {
            Some(walked) => walked,
            None => {
                let batching =
                    self.sampler_options().batching(SamplerMode::Validation, context.ranks);
                let share = batching.batch as usize / context.ranks.size();
                ValidationSet::new(
                    set,
                    BatchSampler::new(set.items(), batching)?,
                    self.microbatch(share),
                )
            }
        };
        let mut accumulator =
            MetricAccumulator::new(self.trainer.config.ladder, self.trainer.config.codes);
        walked.begin()?;
        while context.observer.signal().is_none()
            && let Some(batch) = walked.next(self.engine)?
        {
            context.warn_broken(&batch.broken, "left out of the validation");
            let device = self.storage.device(self.engine.cpu());
            for microbatch in microbatches(&batch, walked.images()) {
                context.ranks.check()?;
                let input = self.quantizer.of(&device, 0, microbatch.tokens)?;
                self.trainer.evaluate(&device, microbatch, input, &mut accumulator)?;
            }
        }
        self.walked = Some(walked);
        Ok(accumulator)
    }

    fn report(
        &self,
        mut accumulator: MetricAccumulator,
        ranks: &dyn ProcessGroup,
    ) -> Result<Option<VarReport>, TrainError> {
        accumulator.sum(ranks)?;
        Ok((accumulator.images() > 0).then(|| VarReport::new(&accumulator)))
    }

    /// Some images of each of the first classes.
    fn sample(&mut self, checkpoint: &Path) -> Result<Option<Samples>, TrainError> {
        let (classes, seed) = (self.trainer.config.classes, self.trainer.hyperparameters.seed);
        let weights = Weights::open(checkpoint, &Hints::default())?;
        let mut engine = Engine::new(&weights, self.engine.threads(), self.engine.isa())?;
        let columns = classes.min(COLUMNS);
        let job = |index| ImageSpec { index: index as u32, label: (index % columns) as u32 };
        let jobs: Vec<ImageSpec> = (0..ROWS * columns).map(job).collect();
        let sampling = Sampling {
            seed,
            cfg: 1.5,
            temperature: 1.0,
            top_k: 900,
            top_p: 0.96,
            more_smooth: false,
        };
        let whole = engine.sample(&jobs, sampling, None, &mut |_| ControlFlow::Continue(()))?;
        let samples = whole.expect("nothing breaks it off");
        let pictures: Vec<_> = samples.into_iter().map(|sample| sample.picture).collect();
        let grid = images::grid(&pictures, columns, 2).expect("a small grid");
        Ok(Some(Samples { grid, parameters: vec![("seed", seed.to_string())] }))
    }
}
