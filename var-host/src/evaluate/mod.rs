//! How good samples are: FID, sFID, Inception Score, precision and recall, as the public evaluation
//! code for class-conditional models defines them (Dhariwal and Nichol, "Diffusion Models Beat GANs
//! on Image Synthesis", 2021).
//!
//! | file | holds |
//! |---|---|
//! | `pictures` | [`ImageSource`]: a folder or an archive, one image in memory at a time |
//! | `observe` | [`FeatureExtractor`]: images → features and statistics of a set: [`Observations`] |
//! | `moments` | mean and covariance in one pass |
//! | `frechet` | the Fréchet distance of two Gaussians |
//! | `inception_score` | the Inception Score |
//! | `rows` | features of a set, kept on disk |
//! | `manifold` | precision and recall of two sets |
//! | `set` | samples or a reference: images, statistics or both: [`EvaluationSet`] |
//! | `stored` | statistics in archives |
//!
//! Only the features of every image grow with the set, in a temporary file.

mod error;
mod factor;
mod frechet;
mod images;
mod inception_score;
mod manifold;
mod moments;
mod observe;
mod rows;
mod set;
mod stored;

use std::collections::BTreeMap;
use std::path::Path;

use var_kernel::cpu::Cpu;

use crate::engine::{EngineError, Interrupt, Interrupted};
use crate::image_folder::check_one_run;
use crate::images::RgbImage;
use crate::inception::Inception;
use crate::pipeline::Device;
use crate::plural;

pub use error::EvaluateError;
pub use frechet::frechet_distance;
pub use images::{ImageSource, ImageStream};
pub use inception_score::{InceptionScore, SPLIT};
pub use manifold::{Coverage, Manifold, NEIGHBORS, coverage};
pub use moments::{FEWEST, Moments, Statistics};
pub use observe::{FeatureExtractor, Observations, ObservedParts};
pub use rows::FeatureRows;
pub use set::{EvaluationSet, SetFeatures};
pub use stored::StoredStatistics;
pub use stored::write_statistics;

/// Samples under which the published comparisons are not made: their covariance is singular.
pub const ENOUGH: usize = 2048;

/// The metrics, each if its inputs are known.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Metrics {
    /// Fréchet distance of the pooled features; smaller is better.
    pub fid: f64,
    /// Fréchet distance of the spatial features.
    pub sfid: Option<f64>,
    /// `exp` of the mean divergence of a sample's classes from all samples'; greater is better.
    pub inception_score: Option<f64>,
    /// Share of samples within the reference's manifold.
    pub precision: Option<f64>,
    /// Share of reference images within the samples' manifold.
    pub recall: Option<f64>,
    /// Why a metric is not known, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<&'static str, String>,
}

/// Compares samples with a reference.
///
/// # Errors
/// If statistics are no covariances, or the features' files cannot be read.
pub fn compare(
    cpu: &Cpu<'_>,
    samples: &SetFeatures,
    reference: &SetFeatures,
) -> Result<Metrics, EvaluateError> {
    let spatial = samples.spatial.as_ref().zip(reference.spatial.as_ref());
    let (fid, sfid) = std::thread::scope(|scope| {
        // The two take a second or more each, on one thread.
        let other = scope.spawn(|| spatial.map(|(made, real)| frechet_distance(made, real, 0.0)));
        let fid = frechet_distance(&samples.pooled, &reference.pooled, 0.0);
        (fid, other.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload)))
    });
    let covered = match (&samples.rows, &reference.rows) {
        (Some(made), Some(real)) if made.len() > NEIGHBORS && real.len() > NEIGHBORS => {
            let manifolds = (Manifold::of(cpu, real)?, Manifold::of(cpu, made)?);
            Some(coverage(cpu, (real, &manifolds.0), (made, &manifolds.1))?)
        }
        _ => None,
    };
    Ok(Metrics {
        fid: fid?,
        sfid: sfid.transpose()?,
        inception_score: samples.score.as_ref().map(InceptionScore::value),
        precision: covered.map(|covered| covered.of_second),
        recall: covered.map(|covered| covered.of_first),
        missing: missing(samples, reference),
    })
}

/// Metrics of the samples in a folder or an archive against a reference, which is one too or an archive
/// of statistics; `inception` is the file of the network's weights.
///
/// ```no_run
/// let metrics = var_host::evaluate(
///     "samples",
///     "imagenet_256.npz",
///     "pt_inception-2015-12-05-6726825d.pth",
///     var_host::Device::default(),
/// )?;
/// println!("FID {:.2}", metrics.fid);
/// # Ok::<(), var_host::evaluate::EvaluateError>(())
/// ```
///
/// # Errors
/// If a file cannot be read, several runs of `var` made the images of a folder, a set has too few images
/// for a covariance, or samples and reference are of two resolutions.
pub fn evaluate(
    samples: impl AsRef<Path>,
    reference: impl AsRef<Path>,
    inception: impl AsRef<Path>,
    device: Device,
) -> Result<Metrics, EvaluateError> {
    let (samples, reference) = (samples.as_ref(), reference.as_ref());
    for set in [samples, reference] {
        check_one_run(set)?;
    }
    let weights = Inception::open(inception.as_ref())?;
    let samples = EvaluationSet::open(samples, None)?;
    let reference = EvaluationSet::open(reference, None)?;
    evaluate_sets(&samples, &reference, &weights, device, &Interrupt::default())
}

/// Metrics of samples against a reference, with the network of these weights; ended by `interrupt`.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_sets(
    samples: &EvaluationSet,
    reference: &EvaluationSet,
    weights: &Inception,
    device: Device,
    interrupt: &Interrupt,
) -> Result<Metrics, EvaluateError> {
    samples.check_size(reference)?;
    let mut extractor = FeatureExtractor::on(weights, device)?.interrupted_by(interrupt.clone());
    let mut each = |_: usize, _: &RgbImage| match interrupt.is_raised() {
        true => Err(EngineError::from(Interrupted).into()),
        false => Ok::<(), EvaluateError>(()),
    };
    let real = reference.observe(&mut extractor, &mut each)?;
    let made = samples.observe(&mut extractor, &mut each)?;
    compare(&extractor.cpu(), &made, &real)
}

/// Why metrics are not known, by their names.
fn missing(samples: &SetFeatures, reference: &SetFeatures) -> BTreeMap<&'static str, String> {
    let mut missing = BTreeMap::new();
    let sides = [("the samples have", samples), ("the reference has", reference)];
    for (side, set) in sides {
        if set.spatial.is_none() {
            missing.insert("sfid", format!("{side} no mu_s and sigma_s"));
        }
        let few = match set.rows.as_ref().map(FeatureRows::len) {
            None => format!("{side} no images (arr_0)"),
            Some(count) if count <= NEIGHBORS => {
                let images = plural::count(count, "image");
                format!("{side} {images}, more than {NEIGHBORS} are needed")
            }
            Some(_) => continue,
        };
        missing.insert("precision", few.clone());
        missing.insert("recall", few);
    }
    if samples.score.is_none() {
        missing.insert("inception_score", "the samples have no images (arr_0)".to_owned());
    }
    missing
}

#[cfg(test)]
mod tests;
