//! Batches of images, read and cut ahead by threads.

use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::prefetch::Prefetcher;
use super::sampler::{SampledItem, SamplerIter};
use super::{AugmentKey, BatchCursor, BatchSampler, CropSpec, DataError, Folder, SamplerMode};
use crate::images::RgbImage;

/// The batches of one rank, in order.
///
/// An image that cannot be read is replaced by the next one in the epoch's order that can, with
/// that one's label, cut by the random numbers of the position; in validation it is left out.
/// A batch depends on the seed, the place and the files alone, not on the number of
/// threads or on where the run began.
///
/// The iterator ends after its last epoch, or after an error.
pub struct Loader {
    folder: Arc<Folder>,
    sampler: BatchSampler,
    reader: Arc<ImageReader>,
    batches: SamplerIter,
    prefetch: Prefetcher<SampledItem, FoundImage>,
    reported: HashSet<u32>,
    first_broken: Option<BrokenImage>,
    ended: bool,
}

/// One rank's share of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageBatch {
    /// Which batch it is.
    pub place: BatchCursor,
    /// The views of each image, one image's after the other.
    pub crops: Vec<RgbImage>,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// Which image of the folder each is.
    pub pictures: Vec<u32>,
    /// Images that could not be read on the way here; each is told of once, in its first batch.
    pub broken: Vec<BrokenImage>,
}

/// An image that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenImage {
    /// The file.
    pub path: PathBuf,
    /// The fault.
    pub reason: String,
}

impl ImageBatch {
    /// Writes the views as the model takes them, `crops × side × side × 3` in −1 to 1.
    ///
    /// # Panics
    /// If `out` is not so long.
    #[track_caller]
    pub fn to_values(&self, out: &mut [f32]) {
        let lengths = self.crops.iter().map(|view| view.rgb().len());
        let wants: usize = lengths.sum();
        assert_eq!(out.len(), wants, "batch: values of {} views", self.crops.len());
        let mut rest = out;
        for view in &self.crops {
            let (values, others) = rest.split_at_mut(view.rgb().len());
            view.to_values(values);
            rest = others;
        }
    }
}

impl Loader {
    /// Reads the batches from `from` to the end of the epoch before `until`, with `workers` threads
    /// that read up to a batch ahead; with none, each batch is read when it is asked for.
    ///
    /// # Panics
    /// If `sampler` is of another number of images than `folder`, or as [`CropSpec::resized_side`].
    ///
    /// # Errors
    /// If an epoch has no such batch as `from`, or the threads cannot be started.
    #[track_caller]
    pub fn start(
        folder: Arc<Folder>,
        sampler: BatchSampler,
        crops: CropSpec,
        workers: usize,
        from: BatchCursor,
        until: u32,
    ) -> Result<Self, DataError> {
        assert_eq!(sampler.items() as usize, folder.pictures(), "loader: a plan of another folder");
        // Refused here, not on a thread.
        crops.resized_side();
        let batches = sampler.walk(from, until)?;
        let reader = Arc::new(ImageReader {
            folder: Arc::clone(&folder),
            sampler: sampler.clone(),
            crops,
            faults: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let read = Arc::clone(&reader);
        // Enough for all threads to be at work while a batch is handed over.
        let room = sampler.most_per_batch().max(2 * workers);
        let prefetch =
            Prefetcher::start(batches.clone(), move |step| read.read(&step), workers, room)
                .map_err(|source| DataError::Threads { workers, source })?;
        let (reported, first_broken, ended) = (HashSet::new(), None, false);
        Ok(Self { folder, sampler, reader, batches, prefetch, reported, first_broken, ended })
    }

    /// How many images were found that cannot be read, and told of in a batch.
    pub fn broken(&self) -> usize {
        self.reported.len()
    }

    fn batch(&mut self) -> Result<Option<ImageBatch>, DataError> {
        let Some((place, positions, _)) = self.batches.begin_batch() else { return Ok(None) };
        let mut batch = ImageBatch {
            place,
            crops: Vec::new(),
            labels: Vec::new(),
            pictures: Vec::new(),
            broken: Vec::new(),
        };
        for _ in positions {
            let found = self.prefetch.next().expect("the threads walk the same way");
            for picture in found.broken {
                if self.reported.insert(picture) {
                    let broken = self.broken_image(picture);
                    self.first_broken.get_or_insert_with(|| broken.clone());
                    batch.broken.push(broken);
                }
            }
            if let Some((picture, crops)) = found.picture {
                batch.crops.extend(crops);
                batch.labels.push(self.folder.label(picture as usize));
                batch.pictures.push(picture);
            } else if self.reported.len() == self.folder.pictures()
                && let Some(first) = self.first_broken.take()
            {
                return Err(DataError::AllBroken {
                    path: self.folder.path().to_path_buf(),
                    pictures: self.sampler.items(),
                    first: first.path.display().to_string(),
                    reason: first.reason,
                });
            }
        }
        Ok(Some(batch))
    }

    fn broken_image(&self, picture: u32) -> BrokenImage {
        let path = self.folder.path().join(self.folder.file(picture as usize));
        let reason = self.reader.faults().get_mut(&picture).map(core::mem::take);
        BrokenImage { path, reason: reason.unwrap_or_default() }
    }
}

impl Iterator for Loader {
    type Item = Result<ImageBatch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.batch().transpose();
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.reader.stopped.store(true, Ordering::Relaxed);
    }
}

/// The image found at a position.
struct FoundImage {
    /// The images that cannot be read, in the order they were come upon.
    broken: Vec<u32>,
    /// The image that can, and its views.
    picture: Option<(u32, Vec<RgbImage>)>,
}

/// State shared by all threads.
struct ImageReader {
    folder: Arc<Folder>,
    sampler: BatchSampler,
    crops: CropSpec,
    /// The images known to be broken, and why until that is told.
    faults: Mutex<HashMap<u32, String>>,
    /// Nobody waits for an image any more.
    stopped: AtomicBool,
}

impl ImageReader {
    /// The image at a position, or its substitute.
    fn read(&self, step: &SampledItem) -> FoundImage {
        let SampledItem { place, position, order } = step;
        let items = self.sampler.items();
        let tries = match self.sampler.config().pass {
            SamplerMode::Training => items,
            SamplerMode::Validation => 1,
        };
        let draw = AugmentKey {
            seed: self.sampler.config().seed,
            epoch: place.epoch,
            position: *position,
        };
        let mut broken = Vec::new();
        for further in 0..tries {
            if self.stopped.load(Ordering::Relaxed) {
                break;
            }
            let at = (u64::from(*position) + u64::from(further)) % u64::from(items);
            let picture = order.item(at as u32);
            if let Some(crops) = self.views_of(picture, draw) {
                return FoundImage { broken, picture: Some((picture, crops)) };
            }
            broken.push(picture);
        }
        FoundImage { broken, picture: None }
    }

    /// The views of an image, none if it is broken.
    fn views_of(&self, picture: u32, draw: AugmentKey) -> Option<Vec<RgbImage>> {
        if self.faults().contains_key(&picture) {
            return None;
        }
        let path = self.folder.path().join(self.folder.file(picture as usize));
        let opened = RgbImage::open(&path).map_err(|error| error.fault);
        match opened.and_then(|opened| self.crops.cut(&opened, draw)) {
            Ok(crops) => Some(crops),
            Err(fault) => {
                // Two threads may come upon it at once; it is told of once.
                self.faults().entry(picture).or_insert_with(|| fault.to_string());
                None
            }
        }
    }

    fn faults(&self) -> MutexGuard<'_, HashMap<u32, String>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
