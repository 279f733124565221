//! One side of an evaluation, samples or reference: images, statistics that were made of them, or both.

use std::path::{Path, PathBuf};

use super::images::IMAGES;
use super::{
    EvaluateError, FeatureExtractor, FeatureRows, ImageSource, InceptionScore, ObservedParts,
    Statistics, StoredStatistics, stored,
};
use crate::images::RgbImage;
use crate::npz::Npz;

/// Samples or a reference, opened.
#[derive(Clone, Debug)]
pub struct EvaluationSet {
    /// The folder or archive.
    pub path: PathBuf,
    /// Statistics, if they are stored: those of the images are not used then.
    pub statistics: Option<StoredStatistics>,
    /// Images, if there are any: the Inception Score, precision and recall need them.
    pub pictures: Option<ImageSource>,
}

/// Features of a set, as far as they are known.
#[derive(Debug)]
pub struct SetFeatures {
    /// Of the pooled features.
    pub pooled: Statistics,
    /// Of the spatial features.
    pub spatial: Option<Statistics>,
    /// The pooled features, if there are images.
    pub rows: Option<FeatureRows>,
    /// Of the logits, if there are images.
    pub score: Option<InceptionScore>,
}

impl EvaluationSet {
    /// The set at `path`: a folder of images, or an archive with `arr_0`, or with `mu` and `sigma` and,
    /// for sFID, `mu_s` and `sigma_s`, or both. `side` as in [`ImageSource::open`].
    ///
    /// # Errors
    /// If it is none of these, or its statistics are incomplete, of another shape, not finite, not
    /// symmetric or indefinite.
    pub fn open(path: &Path, side: Option<usize>) -> Result<Self, EvaluateError> {
        let mut has_images = true;
        let mut statistics = None;
        if path.is_file() {
            let mut npz = Npz::open(path)?;
            statistics = stored::read(&mut npz)?;
            has_images = statistics.is_none() || npz.contains(IMAGES);
        }
        let pictures = if has_images { Some(ImageSource::open(path, side)?) } else { None };
        Ok(Self { path: path.to_path_buf(), statistics, pictures })
    }

    /// Images in memory, called `name` in messages.
    ///
    /// # Errors
    /// As [`ImageSource::of_images`].
    pub fn of_images(name: &str, images: Vec<RgbImage>) -> Result<Self, EvaluateError> {
        let pictures = Some(ImageSource::of_images(name, images)?);
        Ok(Self { path: PathBuf::from(name), statistics: None, pictures })
    }

    /// How many images there are to look at.
    pub fn count(&self) -> usize {
        self.pictures.as_ref().map_or(0, ImageSource::count)
    }

    /// Refuses a reference of another resolution than these samples.
    ///
    /// # Errors
    /// If the sizes differ.
    pub fn check_size(&self, reference: &Self) -> Result<(), EvaluateError> {
        let sizes = [self, reference].map(|set| set.pictures.as_ref().map(ImageSource::size));
        match sizes {
            [Some(samples), Some(reference)] if samples != reference => {
                Err(EvaluateError::Resolutions { samples, reference })
            }
            _ => Ok(()),
        }
    }

    /// Looks at the images, as [`FeatureExtractor::observe`] does, and takes the statistics that are stored.
    ///
    /// # Errors
    /// Those of [`FeatureExtractor::observe`] and [`FeatureExtractor::statistics`].
    pub fn observe<E: From<EvaluateError>>(
        &self,
        observer: &mut FeatureExtractor<'_>,
        each: &mut dyn FnMut(usize, &RgbImage) -> Result<(), E>,
    ) -> Result<SetFeatures, E> {
        let keep =
            if self.statistics.is_some() { ObservedParts::FeatureRows } else { ObservedParts::All };
        let known = match &self.pictures {
            Some(pictures) => Some(observer.observe(pictures, keep, each)?),
            None => None,
        };
        let (pooled, spatial) = match (&self.statistics, &known) {
            (Some(StoredStatistics { pooled, spatial }), _) => (pooled.clone(), spatial.clone()),
            (None, Some(known)) => {
                let [pooled, spatial] = observer.statistics(known)?;
                (pooled, Some(spatial))
            }
            (None, None) => unreachable!("`open` finds images where there are no statistics"),
        };
        let (rows, score) = known.map(|known| (known.rows, known.score)).unzip();
        Ok(SetFeatures { pooled, spatial, rows, score })
    }
}
