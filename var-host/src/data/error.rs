//! Errors of data sets and of their division into batches.

use std::io;
use std::path::PathBuf;

use crate::images::ENDINGS;
use crate::plural::count;
use crate::tokens::TokenFileError;

/// Why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A folder cannot be read.
    #[error("cannot read the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A folder that should hold a folder for each class holds none.
    #[error("{}: wants a folder for each class, has none", path.display())]
    NoClasses {
        /// The folder.
        path: PathBuf,
    },
    /// None of the classes has an image.
    #[error("{}: no images ({}) in its {}", path.display(), ENDINGS.join(", "), count(*classes, "class"))]
    NoImages {
        /// The folder of the classes.
        path: PathBuf,
        /// How many classes there are.
        classes: usize,
    },
    /// The name of a class or an image is not Unicode.
    #[error("{}: the name is not Unicode", path.display())]
    Name {
        /// The path.
        path: PathBuf,
    },
    /// A folder is called as no class is.
    #[error(
        "{}: no class is called {class:?}, {}{}",
        path.display(),
        if *classes == 1 { "the 1 class is another".to_owned() } else { format!("the {classes} classes are others") },
        near.as_ref().map_or(String::new(), |near| format!("; near it: {near:?}"))
    )]
    UnknownClass {
        /// The folder of the classes.
        path: PathBuf,
        /// The name.
        class: String,
        /// How many classes there are.
        classes: usize,
        /// The class that may be meant.
        near: Option<String>,
    },
    /// A name is that of several classes.
    #[error("{}: the classes {} are all called {class:?}", path.display(), list(numbers))]
    AmbiguousClass {
        /// The folder or file of the data.
        path: PathBuf,
        /// The name.
        class: String,
        /// The classes called so.
        numbers: Vec<usize>,
    },
    /// Two folders stand for one class.
    #[error("{}: two folders are the class {class:?}: that and {other:?}", path.display())]
    TwoFolders {
        /// The folder of the classes.
        path: PathBuf,
        /// The class.
        class: String,
        /// The folder called differently.
        other: String,
    },
    /// More images than can be numbered.
    #[error("{has} images are too many, at most {} can be numbered", u32::MAX)]
    TooMany {
        /// How many there are.
        has: usize,
    },
    /// Not even one batch can be filled.
    #[error("wants at least {} for a batch, has {has}", count(*wants, "image"))]
    TooFew {
        /// The batch.
        wants: u32,
        /// The images.
        has: u32,
    },
    /// A batch is not a multiple of the ranks.
    #[error("a batch of {batch} cannot be shared evenly by {}", count(*ranks, "rank"))]
    Uneven {
        /// Images in a batch.
        batch: u32,
        /// How many ranks there are.
        ranks: u32,
    },
    /// A run is to go on where an epoch has no batch.
    #[error("is to go on at batch {wants} of an epoch, which has {has}")]
    NoSuchBatch {
        /// The batch asked for.
        wants: u32,
        /// Batches of an epoch.
        has: u32,
    },
    /// Not one image can be read.
    #[error("{}: none of its {} can be read; the first, {first}: {reason}", path.display(), count(*pictures, "image"))]
    AllBroken {
        /// The folder of the classes.
        path: PathBuf,
        /// How many images there are.
        pictures: u32,
        /// The one found first.
        first: String,
        /// The fault.
        reason: String,
    },
    /// The threads that read images cannot be started.
    #[error("cannot start {} to read images", count(*workers, "thread"))]
    Threads {
        /// How many were asked for.
        workers: usize,
        /// The system's error.
        source: io::Error,
    },
    /// The tokens file is damaged or contradicts itself.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
}

fn list(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}
