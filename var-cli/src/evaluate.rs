//! `var evaluate`: samples against a reference.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Error, Result, anyhow};
use clap::Args;
use serde::Serialize;
use var_host::evaluate::{ENOUGH, FEWEST, Keep, Metrics, NEIGHBOURS, Pictures, Reference, compare};
use var_host::pictures::Picture;

use crate::args::{InceptionOptions, Session, result};
use crate::plural::count;
use crate::progress::Progress;

/// Tell FID, sFID, Inception Score, precision and recall of samples
///
/// The numbers are those of the public evaluator for class-conditional models, with exact arithmetic
/// where that one rounds: FID to about 1e-5 of its value, precision and recall to about 0.003.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A folder of pictures (PNG, JPEG, WebP), or an .npz archive with arr_0
    #[arg(value_name = "DIR|NPZ")]
    samples: PathBuf,
    /// What to compare with: a folder or an archive of pictures, or stored statistics (mu, sigma,
    /// mu_s, sigma_s), as `var statistics` makes them
    #[arg(long, value_name = "DIR|NPZ")]
    reference: PathBuf,
    /// Compare even where the reference's pictures have another resolution
    #[arg(long)]
    any_size: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    inception: InceptionOptions,
}

#[derive(Serialize)]
struct Report<'a> {
    samples: &'a Path,
    reference: &'a Path,
    sample_images: usize,
    /// Pictures of the reference that were looked at.
    reference_images: usize,
    #[serde(flatten)]
    metrics: Metrics,
    images_per_s: f64,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let weights = options.inception.open()?;
    let side = options.inception.side(&[&options.samples, &options.reference], session)?;
    let samples = Pictures::open(&options.samples, side)?;
    let reference = Reference::open(&options.reference, side)?;
    if !options.any_size {
        let checked = reference.check_size(&samples);
        checked
            .map_err(|fault| Error::from(fault).context("--any-size compares them all the same"))?;
    }
    let (sample_images, reference_images) = (samples.count(), reference.count());
    let mut observer = session.observer(&weights)?;
    let mut progress = session.progress(sample_images + reference_images, "image");
    for (path, has, alone) in [
        (&options.samples, sample_images, true),
        (&options.reference, reference_images, reference.statistics.is_none()),
    ] {
        if alone && has < FEWEST {
            return Err(too_few(path, has));
        }
        if alone {
            warn_of_few(&progress, path, has);
        }
    }
    let begun = Instant::now();
    let mut each = |_: usize, _: &Picture| -> Result<()> {
        progress.advance(1);
        Ok(())
    };
    let real = reference.observe(&mut observer, &mut each)?;
    let made = observer.observe(&samples, Keep::All, &mut each)?;
    let images_per_s = (sample_images + reference_images) as f64 / begun.elapsed().as_secs_f64();
    let metrics = compare(&observer.cpu(), &made, &real)?;
    drop(progress);
    let report = Report {
        samples: &options.samples,
        reference: &options.reference,
        sample_images,
        reference_images,
        metrics,
        images_per_s,
    };
    if options.json { result(&serde_json::to_string_pretty(&report)?) } else { print(&report) }
}

fn print(report: &Report<'_>) -> Result<()> {
    let Metrics { fid, sfid, inception_score, precision, recall } = report.metrics;
    result(&format!("Inception Score  {inception_score:.4}"))?;
    result(&format!("FID              {fid:.5}"))?;
    result(&format!("sFID             {sfid:.5}"))?;
    match (precision, recall) {
        (Some(precision), Some(recall)) => {
            result(&format!("precision        {precision:.4}"))?;
            result(&format!("recall           {recall:.4}"))
        }
        _ => {
            let why = format!("want more than {NEIGHBOURS} pictures of both");
            result(&format!("precision, recall: none: they {why}"))
        }
    }
}

/// A set has too few pictures for a covariance.
pub(crate) fn too_few(path: &Path, has: usize) -> Error {
    let has = count(has, "picture");
    anyhow!("{}: {has}: a covariance wants at least {FEWEST}", path.display())
}

/// Says so where a set is too small for published comparisons.
pub(crate) fn warn_of_few(progress: &Progress, path: &Path, has: usize) {
    if has < ENOUGH {
        progress.warn(&format!(
            "{}: {}: with fewer than {ENOUGH} the numbers are not comparable, FID is \
             too large",
            path.display(),
            count(has, "picture")
        ));
    }
}
