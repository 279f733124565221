//! What samples are compared with: pictures, or statistics that were made of them.

use std::path::{Path, PathBuf};

use super::pictures::IMAGES;
use super::{EvaluateError, Keep, Observed, Observer, Pictures, Statistics};
use crate::inception::{POOLED, SPATIAL};
use crate::npz::{Npz, NpzError, NpzWriter};
use crate::pictures::Picture;

/// The arrays of stored statistics: mean and covariance, of pooled and of spatial features.
const STATISTICS: [&str; 4] = ["mu", "sigma", "mu_s", "sigma_s"];

/// A reference, opened.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The folder or archive.
    pub path: PathBuf,
    /// Statistics, if they are stored: those of the pictures are not used then.
    pub statistics: Option<StoredStatistics>,
    /// Pictures, if there are any: precision and recall want them.
    pub pictures: Option<Pictures>,
}

/// Statistics of both kinds of features.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredStatistics {
    /// Of the pooled features.
    pub pooled: Statistics,
    /// Of the spatial features.
    pub spatial: Statistics,
}

impl Reference {
    /// The reference at `path`: a folder of pictures, or an archive with `arr_0`, or with `mu`, `sigma`,
    /// `mu_s`, `sigma_s`, or both. `side` as in [`Pictures::open`].
    ///
    /// # Errors
    /// If it is none of these, or its statistics are incomplete or of another shape.
    pub fn open(path: &Path, side: Option<usize>) -> Result<Self, EvaluateError> {
        let mut has_pictures = true;
        let mut statistics = None;
        if path.is_file() {
            let mut npz = Npz::open(path)?;
            statistics = StoredStatistics::read(&mut npz)?;
            has_pictures = statistics.is_none() || npz.contains(IMAGES);
        }
        let pictures = if has_pictures { Some(Pictures::open(path, side)?) } else { None };
        Ok(Self { path: path.to_path_buf(), statistics, pictures })
    }

    /// How many pictures there are to look at.
    pub fn count(&self) -> usize {
        self.pictures.as_ref().map_or(0, Pictures::count)
    }

    /// Refuses samples of another resolution than the reference's pictures.
    ///
    /// # Errors
    /// If the sizes differ.
    pub fn check_size(&self, samples: &Pictures) -> Result<(), EvaluateError> {
        match &self.pictures {
            Some(pictures) if pictures.size() != samples.size() => {
                let (samples, reference) = (samples.size(), pictures.size());
                Err(EvaluateError::Resolutions { samples, reference })
            }
            _ => Ok(()),
        }
    }

    /// Looks at the pictures, as [`Observer::observe`] does, and takes the statistics that are stored.
    ///
    /// # Errors
    /// Those of [`Observer::observe`] and [`Observer::statistics`].
    pub fn observe<E: From<EvaluateError>>(
        &self,
        observer: &mut Observer<'_>,
        each: &mut dyn FnMut(usize, &Picture) -> Result<(), E>,
    ) -> Result<Observed, E> {
        let keep = if self.statistics.is_some() { Keep::Rows } else { Keep::All };
        let known = match &self.pictures {
            Some(pictures) => Some(observer.observe(pictures, keep, each)?),
            None => None,
        };
        let [pooled, spatial] = match (&self.statistics, &known) {
            (Some(StoredStatistics { pooled, spatial }), _) => [pooled.clone(), spatial.clone()],
            (None, Some(known)) => observer.statistics(known)?,
            (None, None) => unreachable!("`open` finds pictures where there are no statistics"),
        };
        Ok(Observed { pooled, spatial, rows: known.map(|known| known.rows) })
    }
}

impl StoredStatistics {
    /// The statistics in an archive; none if it has no `mu`.
    ///
    /// # Errors
    /// If some are missing or of another shape than Inception's features have.
    fn read(npz: &mut Npz) -> Result<Option<Self>, EvaluateError> {
        if !npz.contains(STATISTICS[0]) {
            return Ok(None);
        }
        let path = npz.path().to_path_buf();
        if let Some(missing) = STATISTICS.into_iter().find(|array| !npz.contains(array)) {
            return Err(EvaluateError::PartialStatistics { path, missing });
        }
        let mut array = |array: &'static str, wants: Vec<usize>| {
            let (has, values) = npz.floats(array)?;
            if has == wants {
                Ok(values)
            } else {
                Err(EvaluateError::StatisticsShape { path: path.clone(), array, has, wants })
            }
        };
        let mut both = |[mean, covariance]: [&'static str; 2], width: usize| {
            let mean = array(mean, vec![width])?;
            let covariance = array(covariance, vec![width, width])?;
            Ok::<_, EvaluateError>(Statistics { mean, covariance })
        };
        let [mu, sigma, mu_s, sigma_s] = STATISTICS;
        let pooled = both([mu, sigma], POOLED)?;
        let spatial = both([mu_s, sigma_s], SPATIAL)?;
        Ok(Some(Self { pooled, spatial }))
    }
}

/// Writes statistics of pooled and spatial features as [`Reference::open`] reads them.
///
/// # Errors
/// If the system refuses to write.
pub fn write_statistics(
    writer: &mut NpzWriter,
    [pooled, spatial]: &[Statistics; 2],
) -> Result<(), NpzError> {
    let [mu, sigma, mu_s, sigma_s] = STATISTICS;
    for (mean, covariance, statistics) in [(mu, sigma, pooled), (mu_s, sigma_s, spatial)] {
        let width = statistics.width();
        writer.floats(mean, &[width], &statistics.mean)?;
        writer.floats(covariance, &[width, width], &statistics.covariance)?;
    }
    Ok(())
}
