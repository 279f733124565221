//! A set of images: a folder or an archive, one image in memory at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use super::EvaluateError;
use crate::data::{Prefetcher, image_files};
use crate::images::{Exif, RgbImage, load_square};
use crate::npz::{NpyDtype, Npz};

/// Images read ahead.
const AHEAD: usize = 32;

/// Where images come from.
#[derive(Clone, Debug)]
pub struct ImageSource {
    path: PathBuf,
    kind: ImageSourceKind,
    count: usize,
    size: (usize, usize),
    side: Option<usize>,
}

#[derive(Clone, Debug)]
enum ImageSourceKind {
    /// Files, within the folder, in the order of their names' bytes.
    Folder(Vec<PathBuf>),
    /// The array `arr_0` of an archive.
    Archive,
    /// Images in memory.
    Memory(Arc<[RgbImage]>),
}

/// The images, in order.
pub struct ImageStream {
    pictures: Box<dyn Iterator<Item = Result<RgbImage, EvaluateError>> + Send>,
}

impl ImageSource {
    /// The images of a folder and those below it, or of an archive's `arr_0`.
    ///
    /// With `side`, a folder's images have their shorter side resized to it and their middle cut out;
    /// without, they must be of one size.
    ///
    /// # Errors
    /// If there are none, the path is neither, or the array is not `N × height × width × 3` bytes.
    pub fn open(path: &Path, side: Option<usize>) -> Result<Self, EvaluateError> {
        let path = path.to_path_buf();
        if path.is_dir() {
            let files = image_files(&path)?;
            let Some(first) = files.first() else {
                return Err(EvaluateError::NoImages { path });
            };
            let size = match side {
                Some(side) => (side, side),
                None => {
                    let first = RgbImage::open(&path.join(first))?;
                    (first.width(), first.height())
                }
            };
            let count = files.len();
            return Ok(Self { path, kind: ImageSourceKind::Folder(files), count, size, side });
        }
        if !fs::exists(&path).is_ok_and(|there| there) {
            return Err(EvaluateError::NoSource { path });
        }
        let mut npz = Npz::open(&path)?;
        let images = npz.elements(IMAGES)?;
        let shape = images.shape().to_vec();
        let (count, size) = match (images.element(), &shape[..]) {
            (NpyDtype::U8, &[count, height, width, 3]) if width > 0 && height > 0 => {
                (count, (width, height))
            }
            _ => {
                let descr = images.descr().to_owned();
                return Err(EvaluateError::Layout { path, descr, shape });
            }
        };
        if count == 0 {
            return Err(EvaluateError::NoImages { path });
        }
        Ok(Self { path, kind: ImageSourceKind::Archive, count, size, side: None })
    }

    /// Images in memory, called `name` in messages.
    ///
    /// # Errors
    /// If there are none, or they are of several sizes.
    pub fn of_images(name: &str, images: Vec<RgbImage>) -> Result<Self, EvaluateError> {
        let path = PathBuf::from(name);
        let size = |image: &RgbImage| (image.width(), image.height());
        let Some(wants) = images.first().map(size) else {
            return Err(EvaluateError::NoImages { path });
        };
        if let Some(at) = images.iter().position(|image| size(image) != wants) {
            let path = PathBuf::from(format!("{name}: image {at}"));
            return Err(EvaluateError::MixedSizes { path, has: size(&images[at]), wants });
        }
        let count = images.len();
        let kind = ImageSourceKind::Memory(images.into());
        Ok(Self { path, kind, count, size: wants, side: None })
    }

    /// The folder or archive.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many, at least one.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Width and height.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Reads them, in order, ahead of the consumer.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn stream(&self, workers: usize) -> Result<ImageStream, EvaluateError> {
        let started = match &self.kind {
            ImageSourceKind::Folder(files) => self.folder(files.clone(), workers),
            ImageSourceKind::Archive => self.archive(),
            ImageSourceKind::Memory(images) => {
                let images = Arc::clone(images);
                let each = (0..images.len()).map(move |at| Ok(images[at].clone()));
                Ok(Box::new(each) as Boxed)
            }
        };
        let fault =
            |source| EvaluateError::Folder(crate::data::DataError::Threads { workers, source });
        Ok(ImageStream { pictures: started.map_err(fault)? })
    }

    fn folder(&self, files: Vec<PathBuf>, workers: usize) -> std::io::Result<Boxed> {
        let (root, size, side) = (self.path.clone(), self.size, self.side);
        let open = move |file: PathBuf| {
            let path = root.join(file);
            if let Some(side) = side {
                return Ok(load_square(&path, side, Exif::Ignored)?);
            }
            let picture = RgbImage::open(&path)?;
            let has = (picture.width(), picture.height());
            if has == size {
                Ok(picture)
            } else {
                Err(EvaluateError::MixedSizes { path, has, wants: size })
            }
        };
        Ok(Box::new(Prefetcher::start(files.into_iter(), open, workers.max(1), AHEAD)?))
    }

    fn archive(&self) -> std::io::Result<Boxed> {
        let (sender, receiver) = sync_channel(AHEAD);
        let (path, count, (width, height)) = (self.path.clone(), self.count, self.size);
        let read = move || -> Result<(), EvaluateError> {
            let mut npz = Npz::open(&path)?;
            let mut images = npz.elements(IMAGES)?;
            for _ in 0..count {
                let mut rgb = vec![0; width * height * 3];
                images.read(&mut rgb)?;
                if sender.send(Ok(RgbImage::new(width, height, rgb))).is_err() {
                    // Nobody asks any more.
                    return Ok(());
                }
            }
            Ok(images.finish()?)
        };
        let thread = thread::Builder::new().name("var-npz".to_owned()).spawn(read)?;
        Ok(Box::new(FromThread { receiver, thread: Some(thread) }))
    }
}

/// The array of images in an archive.
pub(super) const IMAGES: &str = "arr_0";

type Boxed = Box<dyn Iterator<Item = Result<RgbImage, EvaluateError>> + Send>;

/// A thread's messages, then its result.
struct FromThread {
    receiver: Receiver<Result<RgbImage, EvaluateError>>,
    thread: Option<JoinHandle<Result<(), EvaluateError>>>,
}

impl Iterator for FromThread {
    type Item = Result<RgbImage, EvaluateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Ok(picture) = self.receiver.recv() {
            return Some(picture);
        }
        let ended = self.thread.take()?.join();
        let ended = ended.unwrap_or_else(|payload| std::panic::resume_unwind(payload));
        ended.err().map(Err)
    }
}

impl Iterator for ImageStream {
    type Item = Result<RgbImage, EvaluateError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pictures.next()
    }
}

impl core::fmt::Debug for ImageStream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
