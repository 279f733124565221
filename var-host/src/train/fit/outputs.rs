//! Outputs of a run: log, checkpoints, sampled pictures.

use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use var_kernel::cpu::Isa;

use super::Run;
use crate::checkpoint::Record;
use crate::engine::{Engine, Job, Sampling};
use crate::model::{Hints, Weights};
use crate::pictures::{self, Parameters};
use crate::run::{Checkpoints, Events, Log};
use crate::train::TrainError;
use crate::train::metrics::{Details, Report, Tally};
use crate::train::trainer::Step;

/// Columns of a grid of samples, and the most rows.
const COLUMNS: usize = 10;
const ROWS: usize = 2;

/// A line of the log (`log.jsonl`).
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The iteration, from 0.
    pub iter: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// Losses and hits of the iteration's images.
    #[serde(flatten)]
    pub report: Report,
    /// The gradient's norm before clipping; none if it is not finite.
    pub grad_norm: Option<f64>,
    /// The learning rate.
    pub lr: f64,
    /// The weight decay.
    pub wd: f64,
    /// Images a second since the line before.
    pub images_per_s: f64,
    /// Loss scale; 1 but in half precision.
    pub loss_scale: f32,
    /// How many scales are learnt.
    pub scales: usize,
    /// Each scale by itself, now and then.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

impl Line {
    pub(super) fn new(
        iter: u64,
        epoch: u64,
        step: &Step,
        tally: &Tally,
        scale: Option<f32>,
        images_per_s: f64,
        with_details: bool,
    ) -> Self {
        Self {
            iter,
            epoch,
            report: tally.report(),
            grad_norm: step.norm.is_finite().then_some(step.norm),
            lr: step.rate,
            wd: step.decay,
            images_per_s,
            loss_scale: scale.unwrap_or(1.0),
            scales: step.stage.scales,
            details: with_details.then(|| tally.details()),
        }
    }
}

/// A line of the log that tells of a validation.
#[derive(Serialize)]
#[expect(non_snake_case, reason = "the names of the log's fields")]
struct Validation<'a> {
    iter: u64,
    epoch: u64,
    val_L_mean: f64,
    val_L_tail: Option<f64>,
    val_acc_mean: f64,
    val_acc_tail: Option<f64>,
    val_L_scale: &'a [f64],
    val_acc_scale: &'a [f64],
}

/// The files of a run.
pub(super) struct Outputs {
    folder: PathBuf,
    pub(super) checkpoints: Checkpoints,
    log: Log,
    events: Events,
}

type Contents<'a> = (Vec<Record<'a>>, BTreeMap<String, String>);

impl Outputs {
    /// Opens the log of a run that goes on after `done` iterations.
    pub(super) fn open(
        run: &Run<'_>,
        checkpoints: Checkpoints,
        done: u64,
    ) -> Result<Self, TrainError> {
        let folder = run.folder.to_path_buf();
        let log = Log::open(&folder, done)?;
        let events = Events::create(&folder, done)?;
        Ok(Self { folder, checkpoints, log, events })
    }

    pub(super) fn line(&mut self, line: &Line) -> Result<(), TrainError> {
        self.log.append(line)?;
        let Report { L_mean, L_tail, acc_mean, acc_tail } = line.report;
        let scalars = [
            ("train/L_mean", Some(L_mean)),
            ("train/L_tail", L_tail),
            ("train/acc_mean", Some(acc_mean)),
            ("train/acc_tail", acc_tail),
            ("optimizer/grad_norm", line.grad_norm),
            ("optimizer/lr", Some(line.lr)),
            ("optimizer/wd", Some(line.wd)),
            ("optimizer/loss_scale", Some(line.loss_scale.into())),
            ("speed/images_per_s", Some(line.images_per_s)),
        ];
        self.scalars(line.iter, &scalars)?;
        if let Some(details) = &line.details {
            self.details(line.iter, "train", details)?;
        }
        Ok(())
    }

    pub(super) fn validated(
        &mut self,
        iter: u64,
        epoch: u64,
        report: &Report,
        details: &Details,
    ) -> Result<(), TrainError> {
        self.log.append(&Validation {
            iter,
            epoch,
            val_L_mean: report.L_mean,
            val_L_tail: report.L_tail,
            val_acc_mean: report.acc_mean,
            val_acc_tail: report.acc_tail,
            val_L_scale: &details.L_scale,
            val_acc_scale: &details.acc_scale,
        })?;
        let scalars = [
            ("validation/L_mean", Some(report.L_mean)),
            ("validation/L_tail", report.L_tail),
            ("validation/acc_mean", Some(report.acc_mean)),
            ("validation/acc_tail", report.acc_tail),
        ];
        self.scalars(iter, &scalars)?;
        self.details(iter, "validation", details)
    }

    fn scalars(&mut self, iter: u64, scalars: &[(&str, Option<f64>)]) -> Result<(), TrainError> {
        let known = scalars.iter().filter_map(|(tag, value)| Some((*tag, (*value)? as f32)));
        Ok(self.events.scalars(iter, known)?)
    }

    fn details(&mut self, iter: u64, part: &str, details: &Details) -> Result<(), TrainError> {
        let of = |name: &str, values: &[f64]| -> Vec<(String, f32)> {
            let tags = (0..).map(|scale| format!("{part}-scales/{name}_{scale}"));
            tags.zip(values.iter().map(|value| *value as f32)).collect()
        };
        let mut values = of("L", &details.L_scale);
        values.extend(of("acc", &details.acc_scale));
        values.push((format!("{part}-scales/codes_predicted"), details.codes_predicted as f32));
        Ok(self.events.scalars(iter, values.iter().map(|(tag, value)| (&**tag, *value)))?)
    }

    pub(super) fn save(
        &mut self,
        done: u64,
        (records, metadata): Contents<'_>,
        stuck_since: Option<u64>,
    ) -> Result<PathBuf, TrainError> {
        Ok(self.checkpoints.save(done, records, metadata, stuck_since)?)
    }

    pub(super) fn save_best(
        &mut self,
        done: u64,
        (records, metadata): Contents<'_>,
    ) -> Result<PathBuf, TrainError> {
        Ok(self.checkpoints.save_best(done, records, metadata)?)
    }

    /// Whether the samples of an iteration are there.
    pub(super) fn has_samples(&self, done: u64) -> bool {
        self.samples_path(done).exists()
    }

    fn samples_path(&self, done: u64) -> PathBuf {
        self.folder.join(format!("samples-{done:07}.png"))
    }

    /// Draws some pictures of each of the first classes with the checkpoint just saved.
    pub(super) fn sample(
        &mut self,
        done: u64,
        classes: usize,
        seed: u64,
        threads: usize,
        isa: Isa,
    ) -> Result<PathBuf, TrainError> {
        let path = self.folder.join("ckpt-last.safetensors");
        let weights = Weights::open(&path, &Hints::default())?;
        let mut engine = Engine::new(&weights, threads, isa)?;
        let columns = classes.min(COLUMNS);
        let job = |index| Job { index: index as u32, label: (index % columns) as u32 };
        let jobs: Vec<Job> = (0..ROWS * columns).map(job).collect();
        let sampling = Sampling { seed, cfg: 1.5, top_k: 900, top_p: 0.96, more_smooth: false };
        let whole = engine.sample(&jobs, sampling, None, &mut |_| ControlFlow::Continue(()))?;
        let samples = whole.expect("nothing breaks it off");
        let pictures: Vec<_> = samples.into_iter().map(|sample| sample.picture).collect();
        let grid = pictures::grid(&pictures, columns, 2).expect("a small grid");
        let parameters: Parameters = [
            ("Software", "var".to_owned()),
            ("command", "train".to_owned()),
            ("iteration", done.to_string()),
            ("seed", seed.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let path = self.samples_path(done);
        pictures::write_png(&path, &grid, &parameters, true)?;
        self.events.picture(done, "samples", &grid)?;
        Ok(path)
    }
}
