//! How good samples are: FID, sFID, Inception Score, precision and recall, as the public evaluation
//! code for class-conditional models defines them (Dhariwal and Nichol, "Diffusion Models Beat GANs
//! on Image Synthesis", 2021).
//!
//! | file | holds |
//! |---|---|
//! | `pictures` | [`Pictures`]: a folder or an archive, one picture in memory at a time |
//! | `observe` | [`Observer`]: pictures → what is known of a set: [`Observations`] |
//! | `moments` | mean and covariance in one pass |
//! | `frechet` | the Fréchet distance of two Gaussians |
//! | `inception_score` | the Inception Score |
//! | `rows` | features of a set, kept on disk |
//! | `manifold` | precision and recall of two sets |
//! | `reference` | what samples are compared with: [`Reference`] |
//!
//! Only what is kept of a set grows with it: the features of every picture, in a temporary file.

mod error;
mod frechet;
mod inception_score;
mod manifold;
mod moments;
mod observe;
mod pictures;
mod reference;
mod rows;

use var_kernel::cpu::Cpu;

pub use error::EvaluateError;
pub use frechet::frechet_distance;
pub use inception_score::{InceptionScore, SPLIT};
pub use manifold::{Coverage, Manifold, NEIGHBOURS, coverage};
pub use moments::{Moments, Statistics};
pub use observe::{Keep, Observations, Observer};
pub use pictures::{Pictures, Stream};
pub use reference::{Reference, StoredStatistics, write_statistics};
pub use rows::Rows;

/// Samples under which the published comparisons are not made: their covariance is singular.
pub const ENOUGH: usize = 2048;

/// Samples under which there is no covariance.
pub const FEWEST: usize = 2;

/// The metrics.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Metrics {
    /// Fréchet distance of the pooled features; smaller is better.
    pub fid: f64,
    /// Fréchet distance of the spatial features.
    pub sfid: f64,
    /// `exp` of the mean divergence of a sample's classes from all samples'; greater is better.
    pub inception_score: f64,
    /// Share of samples within the reference's manifold; none without reference pictures, or with
    /// too few.
    pub precision: Option<f64>,
    /// Share of reference pictures within the samples' manifold.
    pub recall: Option<f64>,
}

/// What is known of a reference.
#[derive(Debug)]
pub struct Observed {
    /// Of the pooled features.
    pub pooled: Statistics,
    /// Of the spatial features.
    pub spatial: Statistics,
    /// The pooled features, if there are pictures.
    pub rows: Option<Rows>,
}

/// Compares what was observed of samples with a reference.
///
/// # Errors
/// If a set has too few pictures, statistics are no covariances, or the features' files cannot be
/// read.
pub fn compare(
    cpu: &Cpu<'_>,
    samples: &Observations,
    reference: &Observed,
) -> Result<Metrics, EvaluateError> {
    let pooled = samples.pooled.statistics(cpu)?;
    let spatial = samples.spatial.statistics(cpu)?;
    let (fid, sfid) = std::thread::scope(|scope| {
        // The two take a second or more each, on one thread.
        let other = scope.spawn(|| frechet_distance(&spatial, &reference.spatial, 0.0));
        let fid = frechet_distance(&pooled, &reference.pooled, 0.0);
        (fid, other.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload)))
    });
    let covered = match &reference.rows {
        Some(rows) if rows.len() > NEIGHBOURS && samples.rows.len() > NEIGHBOURS => {
            let real = Manifold::of(cpu, rows)?;
            let made = Manifold::of(cpu, &samples.rows)?;
            Some(coverage(cpu, (rows, &real), (&samples.rows, &made))?)
        }
        _ => None,
    };
    Ok(Metrics {
        fid: fid?,
        sfid: sfid?,
        inception_score: samples.score.value(),
        precision: covered.map(|covered| covered.of_second),
        recall: covered.map(|covered| covered.of_first),
    })
}

#[cfg(test)]
mod tests;
