//! `var evaluate`: samples against a reference.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Error, Result, anyhow};
use clap::Args;
use serde::Serialize;
use var_host::evaluate::{ENOUGH, EvaluationSet, FEWEST, Metrics, compare};
use var_host::images::{Parameters, RgbImage};
use var_host::plural::count;

use crate::args::{InceptionOptions, Session, result};
use crate::progress::Progress;
use crate::run_folder::run_of;

/// Tell FID, sFID, Inception Score, precision and recall of samples
///
/// The numbers are those of the public evaluator for class-conditional models, with exact arithmetic
/// where that one rounds: FID to about 1e-5 of its value, precision and recall to about 0.003.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A folder of images (PNG, JPEG, WebP, BMP, GIF, TIFF, Netpbm), or an .npz archive with
    /// arr_0; statistics that are stored in it are used in place of its images'; EXIF's orientation
    /// is not applied
    #[arg(value_name = "DIR|NPZ")]
    samples: PathBuf,
    /// Reference: a folder or an archive of images, or stored statistics, as `var statistics`
    /// makes them: mu and sigma, and mu_s and sigma_s, without which there is no sFID
    #[arg(long, value_name = "DIR|NPZ")]
    reference: PathBuf,
    /// Take images of several runs of `var` together, as samples and as reference
    #[arg(long)]
    any_run: bool,
    /// Compare even where the reference's images have another resolution
    #[arg(long)]
    any_size: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    inception: InceptionOptions,
}

#[derive(Serialize)]
struct EvaluationReport<'a> {
    samples: &'a Path,
    reference: &'a Path,
    /// Images of the samples that were looked at.
    sample_images: usize,
    /// Images of the reference that were looked at.
    reference_images: usize,
    /// Settings of the run of `var` that made the samples, the digest of its model among them.
    samples_run: Option<Parameters>,
    /// The same of the reference.
    reference_run: Option<Parameters>,
    #[serde(flatten)]
    metrics: Metrics,
    images_per_s: f64,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let side = options.inception.side(&[&options.samples, &options.reference], session)?;
    let weights = options.inception.open()?;
    let [samples_run, reference_run] = match options.any_run {
        true => [None, None],
        false => [run_of(&options.samples, session)?, run_of(&options.reference, session)?],
    };
    if samples_run.is_some() && samples_run == reference_run {
        let (samples, reference) = (options.samples.display(), options.reference.display());
        session.warn(&format!("{samples} and {reference} are of one run: no reference but itself"));
    }
    let samples = EvaluationSet::open(&options.samples, side)?;
    let reference = EvaluationSet::open(&options.reference, side)?;
    if !options.any_size {
        let checked = samples.check_size(&reference);
        checked
            .map_err(|fault| Error::from(fault).context("--any-size compares them all the same"))?;
    }
    let (sample_images, reference_images) = (samples.count(), reference.count());
    let mut observer = session.observer(&weights)?;
    let mut progress = session.progress(sample_images + reference_images, "image");
    let observed = || [&samples, &reference].into_iter().filter(|set| set.statistics.is_none());
    if let Some(set) = observed().find(|set| set.count() < FEWEST) {
        return Err(too_few(&set.path, set.count()));
    }
    observed().for_each(|set| warn_of_few(&progress, &set.path, set.count()));
    let begun = Instant::now();
    let mut each = |_: usize, _: &RgbImage| -> Result<()> {
        progress.advance(1);
        Ok(())
    };
    let real = reference.observe(&mut observer, &mut each)?;
    let made = samples.observe(&mut observer, &mut each)?;
    let images_per_s = (sample_images + reference_images) as f64 / begun.elapsed().as_secs_f64();
    let metrics = compare(&observer.cpu(), &made, &real)?;
    drop(progress);
    let report = EvaluationReport {
        samples: &options.samples,
        reference: &options.reference,
        sample_images,
        reference_images,
        samples_run,
        reference_run,
        metrics,
        images_per_s,
    };
    if options.json { result(&serde_json::to_string_pretty(&report)?) } else { print(&report) }
}

fn print(report: &EvaluationReport<'_>) -> Result<()> {
    let Metrics { fid, sfid, inception_score, precision, recall, missing } = &report.metrics;
    for (key, name, value, decimals) in [
        ("inception_score", "Inception Score", inception_score.as_ref(), 4),
        ("fid", "FID", Some(fid), 5),
        ("sfid", "sFID", sfid.as_ref(), 5),
        ("precision", "precision", precision.as_ref(), 4),
        ("recall", "recall", recall.as_ref(), 4),
    ] {
        match (value, missing.get(key)) {
            (Some(value), _) => result(&format!("{name:<16} {value:.decimals$}"))?,
            (None, reason) => {
                let reason = reason.map_or("", String::as_str);
                result(&format!("{name:<16} none: {reason}"))?;
            }
        }
    }
    Ok(())
}

/// A set has too few images for a covariance.
pub(crate) fn too_few(path: &Path, has: usize) -> Error {
    let has = count(has, "image");
    anyhow!("{}: {has}: a covariance wants at least {FEWEST}", path.display())
}

/// Says so where a set is too small for published comparisons.
pub(crate) fn warn_of_few(progress: &Progress, path: &Path, has: usize) {
    if has < ENOUGH {
        progress.warn(&format!(
            "{}: {}: with fewer than {ENOUGH} the numbers are not comparable, FID is \
             too large",
            path.display(),
            count(has, "image")
        ));
    }
}
