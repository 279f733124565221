//! Batches of pictures, read and cut ahead by threads.

use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ahead::Ahead;
use super::plan::{Step, Walk};
use super::{DataError, Draw, Folder, Pass, Place, Plan, Views};
use crate::pictures::Picture;

/// The batches of one rank, in order.
///
/// A picture that cannot be read is replaced by the next one in the epoch's order that can, with
/// that one's label, cut by the random numbers of the position; in validation it is left out.
/// A batch depends on the seed, the place and the files alone, not on the number of
/// threads or on where the run began.
///
/// The iterator ends after its last epoch, or after an error.
pub struct Loader {
    folder: Arc<Folder>,
    plan: Plan,
    reader: Arc<Reader>,
    batches: Walk,
    ahead: Ahead<Step, Found>,
    reported: HashSet<u32>,
    first_broken: Option<BrokenPicture>,
    ended: bool,
}

/// One rank's share of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which batch it is.
    pub place: Place,
    /// The views of each picture, one picture's after the other.
    pub views: Vec<Picture>,
    /// The class of each picture.
    pub labels: Vec<u32>,
    /// Which picture of the folder each is.
    pub pictures: Vec<u32>,
    /// Pictures that could not be read on the way here; each is told of once, in its first batch.
    pub broken: Vec<BrokenPicture>,
}

/// A picture that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenPicture {
    /// The file.
    pub path: PathBuf,
    /// The fault.
    pub reason: String,
}

impl Batch {
    /// Writes the views as the model takes them, `views × side × side × 3` in −1 to 1.
    ///
    /// # Panics
    /// If `out` is not so long.
    #[track_caller]
    pub fn to_values(&self, out: &mut [f32]) {
        let lengths = self.views.iter().map(|view| view.rgb().len());
        let wants: usize = lengths.sum();
        assert_eq!(out.len(), wants, "batch: values of {} views", self.views.len());
        let mut rest = out;
        for view in &self.views {
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
    /// If `plan` is of another number of pictures than `folder`, or as [`Views::resized_side`].
    ///
    /// # Errors
    /// If an epoch has no such batch as `from`, or the threads cannot be started.
    #[track_caller]
    pub fn start(
        folder: Arc<Folder>,
        plan: Plan,
        views: Views,
        workers: usize,
        from: Place,
        until: u32,
    ) -> Result<Self, DataError> {
        assert_eq!(plan.items() as usize, folder.pictures(), "loader: a plan of another folder");
        // Refused here, not on a thread.
        views.resized_side();
        let batches = plan.walk(from, until)?;
        let reader = Arc::new(Reader {
            folder: Arc::clone(&folder),
            plan,
            views,
            faults: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let read = Arc::clone(&reader);
        // Enough for all threads to be at work while a batch is handed over.
        let room = plan.most_per_batch().max(2 * workers);
        let ahead = Ahead::start(batches.clone(), move |step| read.read(&step), workers, room)
            .map_err(|source| DataError::Threads { workers, source })?;
        let (reported, first_broken, ended) = (HashSet::new(), None, false);
        Ok(Self { folder, plan, reader, batches, ahead, reported, first_broken, ended })
    }

    /// How many pictures were found that cannot be read, and told of in a batch.
    pub fn broken(&self) -> usize {
        self.reported.len()
    }

    fn batch(&mut self) -> Result<Option<Batch>, DataError> {
        let Some((place, positions, _)) = self.batches.begin_batch() else { return Ok(None) };
        let mut batch = Batch {
            place,
            views: Vec::new(),
            labels: Vec::new(),
            pictures: Vec::new(),
            broken: Vec::new(),
        };
        for _ in positions {
            let found = self.ahead.next().expect("the threads walk the same way");
            for picture in found.broken {
                if self.reported.insert(picture) {
                    let broken = self.broken_picture(picture);
                    self.first_broken.get_or_insert_with(|| broken.clone());
                    batch.broken.push(broken);
                }
            }
            if let Some((picture, views)) = found.picture {
                batch.views.extend(views);
                batch.labels.push(self.folder.label(picture as usize));
                batch.pictures.push(picture);
            } else if self.reported.len() == self.folder.pictures()
                && let Some(first) = self.first_broken.take()
            {
                return Err(DataError::AllBroken {
                    path: self.folder.path().to_path_buf(),
                    pictures: self.plan.items(),
                    first: first.path.display().to_string(),
                    reason: first.reason,
                });
            }
        }
        Ok(Some(batch))
    }

    fn broken_picture(&self, picture: u32) -> BrokenPicture {
        let path = self.folder.path().join(self.folder.file(picture as usize));
        let reason = self.reader.faults().get_mut(&picture).map(core::mem::take);
        BrokenPicture { path, reason: reason.unwrap_or_default() }
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

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

/// The picture found at a position.
struct Found {
    /// The pictures that cannot be read, in the order they were come upon.
    broken: Vec<u32>,
    /// The picture that can, and its views.
    picture: Option<(u32, Vec<Picture>)>,
}

/// State shared by all threads.
struct Reader {
    folder: Arc<Folder>,
    plan: Plan,
    views: Views,
    /// The pictures known to be broken, and why until that is told.
    faults: Mutex<HashMap<u32, String>>,
    /// Nobody waits for a picture any more.
    stopped: AtomicBool,
}

impl Reader {
    /// The picture at a position, or its substitute.
    fn read(&self, step: &Step) -> Found {
        let Step { place, position, order } = step;
        let items = self.plan.items();
        let tries = match self.plan.batching().pass {
            Pass::Training => items,
            Pass::Validation => 1,
        };
        let draw =
            Draw { seed: self.plan.batching().seed, epoch: place.epoch, position: *position };
        let mut broken = Vec::new();
        for further in 0..tries {
            if self.stopped.load(Ordering::Relaxed) {
                break;
            }
            let at = (u64::from(*position) + u64::from(further)) % u64::from(items);
            let picture = order.item(at as u32);
            if let Some(views) = self.views_of(picture, draw) {
                return Found { broken, picture: Some((picture, views)) };
            }
            broken.push(picture);
        }
        Found { broken, picture: None }
    }

    /// The views of a picture, none if it is broken.
    fn views_of(&self, picture: u32, draw: Draw) -> Option<Vec<Picture>> {
        if self.faults().contains_key(&picture) {
            return None;
        }
        let path = self.folder.path().join(self.folder.file(picture as usize));
        let opened = Picture::open(&path).map_err(|error| error.fault);
        match opened.and_then(|opened| self.views.cut(&opened, draw)) {
            Ok(views) => Some(views),
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
