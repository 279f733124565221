//! Outputs of a run: log, checkpoints, grids of reconstructions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Line, Report};
use crate::checkpoint::Record;
use crate::pictures::{self, Parameters, Picture};
use crate::run::{Checkpoints, Events, Log};
use crate::train::TrainError;

type Contents<'a> = (Vec<Record<'a>>, BTreeMap<String, String>);

/// A line of the log that tells of a validation.
#[derive(Serialize)]
struct Validation<'a> {
    iter: u64,
    epoch: u64,
    #[serde(flatten)]
    report: &'a Report,
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

    pub(super) fn line(&mut self, line: &Line) -> Result<(), TrainError> {
        self.log.append(line)?;
        let scalars = [
            ("train/psnr", Some(line.psnr)),
            ("train/L1", Some(line.L1)),
            ("train/L2", Some(line.L2)),
            ("train/lpips", line.lpips),
            ("train/vq", Some(line.vq)),
            ("train/adversarial", line.adversarial),
            ("train/discriminator", line.discriminator),
            ("train/ratio", line.ratio.map(f64::from)),
            ("optimizer/grad_norm", line.grad_norm),
            ("optimizer/lr", Some(line.lr)),
            ("optimizer/wd", Some(line.wd)),
            ("speed/images_per_s", Some(line.images_per_s)),
            ("codebook/revived", Some(line.revived as f64)),
        ];
        self.scalars(line.iter, &scalars)?;
        self.usage(line.iter, "codebook", &line.usage)
    }

    pub(super) fn validated(
        &mut self,
        iter: u64,
        epoch: u64,
        report: &Report,
    ) -> Result<(), TrainError> {
        self.log.append(&Validation { iter, epoch, report })?;
        let scalars = [
            ("validation/psnr", Some(report.val_psnr)),
            ("validation/L1", Some(report.val_L1)),
            ("validation/L2", Some(report.val_L2)),
        ];
        self.scalars(iter, &scalars)?;
        self.usage(iter, "validation", &report.val_use)
    }

    fn scalars(&mut self, iter: u64, all: &[(&str, Option<f64>)]) -> Result<(), TrainError> {
        let known = all.iter().filter_map(|(tag, value)| Some((*tag, (*value)? as f32)));
        Ok(self.events.scalars(iter, known)?)
    }

    fn usage(&mut self, iter: u64, part: &str, shares: &[f64]) -> Result<(), TrainError> {
        let tags: Vec<String> =
            (0..shares.len()).map(|scale| format!("{part}/use_{scale}")).collect();
        let values = tags.iter().map(String::as_str).zip(shares.iter().map(|share| *share as f32));
        Ok(self.events.scalars(iter, values)?)
    }

    pub(super) fn save(
        &mut self,
        done: u64,
        (records, metadata): Contents<'_>,
        stuck_since: Option<u64>,
    ) -> Result<(), TrainError> {
        self.checkpoints.save(done, records, metadata, stuck_since)?;
        Ok(())
    }

    pub(super) fn save_best(
        &mut self,
        done: u64,
        (records, metadata): Contents<'_>,
    ) -> Result<(), TrainError> {
        self.checkpoints.save_best(done, records, metadata)?;
        Ok(())
    }

    /// Writes `originals` in one row and their reconstructions below.
    pub(super) fn show(
        &mut self,
        done: u64,
        side: usize,
        originals: &[f32],
        came: &[f32],
    ) -> Result<(), TrainError> {
        let picture = |values: &[f32]| Picture::from_values(side, side, values);
        let of = |values: &[f32]| values.chunks_exact(3 * side * side).map(picture).collect();
        let (mut all, below): (Vec<Picture>, Vec<Picture>) = (of(originals), of(came));
        let columns = all.len();
        all.extend(below);
        if columns == 0 {
            return Ok(());
        }
        let grid = pictures::grid(&all, columns, 2).expect("a small grid");
        let parameters: Parameters = [
            ("Software", "var".to_owned()),
            ("command", "train-vae".to_owned()),
            ("iteration", done.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let path = self.folder.join(format!("reconstructions-{done:07}.png"));
        pictures::write_png(&path, &grid, &parameters, true)?;
        Ok(self.events.picture(done, "reconstructions", &grid)?)
    }
}
