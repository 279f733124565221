//! Outputs of a run: log, TensorBoard events, checkpoints, images that show progress.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Line, LogMetrics, Samples};
use crate::images::{self, Parameters};
use crate::run::{Checkpoints, Events, Log, LogLine};
use crate::train::TrainError;
use crate::train::state::{Progress, Snapshot};

/// An iteration in the log (`log.jsonl`).
#[derive(Serialize)]
struct Iteration<'m, M> {
    iter: u64,
    epoch: u64,
    #[serde(flatten)]
    metrics: &'m M,
    grad_norm: Option<f64>,
    lr: f64,
    wd: f64,
    images_per_s: f64,
}

/// A validation in the log.
#[derive(Serialize)]
struct Validation<'m, R> {
    iter: u64,
    epoch: u64,
    #[serde(flatten)]
    report: &'m R,
}

/// The files of a run.
pub(super) struct Outputs {
    folder: PathBuf,
    pub(super) checkpoints: Checkpoints,
    log: Log,
    events: Events,
}

impl Outputs {
    /// Opens the log of a run that goes on after `done` iterations.
    pub(super) fn open(
        folder: &Path,
        checkpoints: Checkpoints,
        done: u64,
    ) -> Result<Self, TrainError> {
        let log = Log::open(folder, done)?;
        let events = Events::create(folder, done)?;
        Ok(Self { folder: folder.to_path_buf(), checkpoints, log, events })
    }

    pub(super) fn line<M: LogMetrics + Serialize>(
        &mut self,
        line: &Line<'_>,
        metrics: &M,
    ) -> Result<LogLine, TrainError> {
        let Line { iter, epoch, grad_norm, lr, wd, images_per_s, .. } = *line;
        let logged = self.log.append(&Iteration {
            iter,
            epoch,
            metrics,
            grad_norm,
            lr,
            wd,
            images_per_s,
        })?;
        let mut scalars = metrics.scalars();
        let optimizer = [
            ("optimizer/grad_norm", grad_norm),
            ("optimizer/lr", Some(lr)),
            ("optimizer/wd", Some(wd)),
            ("speed/images_per_s", Some(images_per_s)),
        ];
        let known = optimizer.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?)));
        scalars.extend(known);
        self.scalars(iter, &scalars)?;
        Ok(logged)
    }

    pub(super) fn validated<R: LogMetrics + Serialize>(
        &mut self,
        iter: u64,
        epoch: u64,
        report: &R,
    ) -> Result<LogLine, TrainError> {
        let logged = self.log.append(&Validation { iter, epoch, report })?;
        self.scalars(iter, &report.scalars())?;
        Ok(logged)
    }

    fn scalars(&mut self, iter: u64, all: &[(String, f64)]) -> Result<(), TrainError> {
        let values = all.iter().map(|(tag, value)| (tag.as_str(), *value as f32));
        Ok(self.events.scalars(iter, values)?)
    }

    /// Saves the newest checkpoint; in a streak of refused updates, those before from within the streak
    /// give way.
    pub(super) fn save(
        &mut self,
        snapshot: &Snapshot<'_>,
        progress: &Progress,
    ) -> Result<PathBuf, TrainError> {
        let (records, metadata) = snapshot.records(progress);
        let Progress { iterations, refused, .. } = *progress;
        let stuck_since = (refused > 0).then(|| iterations - u64::from(refused));
        Ok(self.checkpoints.save(iterations, records, metadata, stuck_since)?)
    }

    /// Saves the best checkpoint.
    pub(super) fn save_best(
        &mut self,
        snapshot: &Snapshot<'_>,
        progress: &Progress,
    ) -> Result<PathBuf, TrainError> {
        let (records, metadata) = snapshot.records(progress);
        Ok(self.checkpoints.save_best(progress.iterations, records, metadata)?)
    }

    /// The file of the images called `name` after `done` iterations.
    pub(super) fn samples_path(&self, name: &str, done: u64) -> PathBuf {
        self.folder.join(format!("{name}-{done:07}.png"))
    }

    /// Writes images that show progress.
    pub(super) fn samples(
        &mut self,
        done: u64,
        name: &str,
        command: &str,
        samples: Samples,
    ) -> Result<PathBuf, TrainError> {
        let Samples { grid, parameters: more } = samples;
        let own = [
            ("Software", "var".to_owned()),
            ("command", command.to_owned()),
            ("iteration", done.to_string()),
        ];
        let all = own.into_iter().chain(more).map(|(key, value)| (key.to_owned(), value));
        let parameters: Parameters = all.collect();
        let path = self.samples_path(name, done);
        images::write_png(&path, &grid, &parameters, true)?;
        self.events.picture(done, name, &grid)?;
        Ok(path)
    }
}
