//! A folder of images: one folder for each class, the images in it.

use std::path::{Path, PathBuf};

use super::walk::{self, FolderWalk, LeftOut};
use super::{ClassNames, DataError};

/// The images of a data set, `CLASS/…/FILE`, numbered class by class.
///
/// As in torchvision's `DatasetFolder`, classes are the folders, in the order of their names' bytes;
/// a class's images are all files below its folder with one of the [`ENDINGS`](crate::images::ENDINGS),
/// in large or small letters, in the order of their folders' paths and then of their names. Otherwise
/// than there, folders without an image are no classes, and names that begin with a dot and folders
/// of operating systems are passed over: see [`LeftOut`]. An image takes its path's length and 8
/// bytes of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
    classes: Vec<String>,
    /// For each class its folder.
    folders: Vec<String>,
    /// For each class the number of images up to its end.
    class_ends: Vec<usize>,
    /// The paths of all images within their classes, one after the other, and where each ends.
    names: String,
    name_ends: Vec<usize>,
    left_out: LeftOut,
}

/// The names of the classes in a folder: its folders that hold an image, sorted.
///
/// # Errors
/// If the folder cannot be read, has no folder or no image in it, or a name is not Unicode.
pub fn class_names(path: &Path) -> Result<Vec<String>, DataError> {
    let mut classes = Vec::new();
    let (folders, _) = folders(path)?;
    let count = folders.len();
    for name in folders {
        if FolderWalk::new(&path.join(&name))?.has_images()? {
            classes.push(name);
        }
    }
    if classes.is_empty() {
        return Err(DataError::NoImages { path: path.to_path_buf(), classes: count });
    }
    Ok(classes)
}

/// Whether a folder has folders in it that classes may have.
pub fn has_class_folders(path: &Path) -> bool {
    folders(path).is_ok()
}

/// The images in a folder and all folders below it, as paths within it, in the order of their bytes.
///
/// Images are those of [`Folder`].
///
/// # Errors
/// If a folder cannot be read, or the name of an image is not Unicode.
pub fn image_files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let (files, _) = FolderWalk::new(path)?.pictures()?;
    let mut files: Vec<PathBuf> = files.into_iter().map(PathBuf::from).collect();
    files.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Ok(files)
}

/// The folders that classes may have, at least one.
fn folders(path: &Path) -> Result<(Vec<String>, LeftOut), DataError> {
    let (folders, left_out) = walk::class_folders(path)?;
    if folders.is_empty() {
        return Err(DataError::NoClasses { path: path.to_path_buf() });
    }
    Ok((folders, left_out))
}

impl Folder {
    /// The images in the folders of `path`, each folder a class.
    ///
    /// # Errors
    /// Those of [`class_names`].
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let (folders, left_out) = folders(path)?;
        let mut opened = Self::empty(path, left_out);
        for name in folders.iter() {
            let (pictures, left_out) = FolderWalk::new(&path.join(name))?.pictures()?;
            opened.left_out.add(left_out);
            if pictures.is_empty() {
                opened.left_out.folders.push(name.clone());
            } else {
                opened.push(name.clone(), name.clone(), &pictures);
            }
        }
        opened.finish(folders.len())
    }

    /// The images in the folders of `path`, with classes numbered as elsewhere: those to validate
    /// on with the class names of those to train on. A class may be missing.
    ///
    /// # Errors
    /// Those of [`Folder::open`], and if a folder with images is called as none of `classes` is.
    pub fn open_with_classes(path: &Path, classes: &[String]) -> Result<Self, DataError> {
        let (folders, left_out) = folders(path)?;
        let mut opened = Self::empty(path, left_out);
        let names = ClassNames::new(classes);
        // For each class its folder: composed and decomposed accents make one name.
        let mut of_class = vec![None; classes.len()];
        for name in folders {
            match names.number(path, &name)? {
                Some(class) => match of_class[class].replace(name) {
                    None => {}
                    Some(other) => {
                        let (path, class) = (path.to_path_buf(), classes[class].clone());
                        return Err(DataError::TwoFolders { path, class, other });
                    }
                },
                None if FolderWalk::new(&path.join(&name))?.has_images()? => {
                    return Err(names.unknown(path, &name));
                }
                None => opened.left_out.folders.push(name),
            }
        }
        for (class, folder) in classes.iter().zip(of_class) {
            let (pictures, left_out) = match &folder {
                Some(folder) => FolderWalk::new(&path.join(folder))?.pictures()?,
                None => Default::default(),
            };
            opened.left_out.add(left_out);
            opened.push(class.clone(), folder.unwrap_or_default(), &pictures);
        }
        opened.finish(classes.len())
    }

    fn empty(path: &Path, left_out: LeftOut) -> Self {
        Self {
            path: path.to_path_buf(),
            classes: Vec::new(),
            folders: Vec::new(),
            class_ends: Vec::new(),
            names: String::new(),
            name_ends: Vec::new(),
            left_out,
        }
    }

    fn push(&mut self, class: String, folder: String, pictures: &[String]) {
        for name in pictures {
            self.names.push_str(name);
            self.name_ends.push(self.names.len());
        }
        self.class_ends.push(self.name_ends.len());
        self.classes.push(class);
        self.folders.push(folder);
    }

    fn finish(mut self, classes: usize) -> Result<Self, DataError> {
        if self.name_ends.is_empty() {
            return Err(DataError::NoImages { path: self.path, classes });
        }
        self.left_out.folders.sort_unstable();
        self.names.shrink_to_fit();
        self.name_ends.shrink_to_fit();
        Ok(self)
    }

    /// Entries that are not among the images.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the classes, by number.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// How many images there are, at least one.
    pub fn pictures(&self) -> usize {
        self.name_ends.len()
    }

    /// The class of an image.
    ///
    /// # Panics
    /// If there are not so many images.
    #[track_caller]
    pub fn label(&self, picture: usize) -> u32 {
        assert!(picture < self.pictures(), "folder: image {picture} of {}", self.pictures());
        self.class_ends.partition_point(|end| *end <= picture) as u32
    }

    /// The class of each image.
    pub fn labels(&self) -> Vec<u32> {
        (0..self.pictures()).map(|picture| self.label(picture)).collect()
    }

    /// Where an image is within the folder: `CLASS/…/FILE`.
    ///
    /// # Panics
    /// If there are not so many images.
    #[track_caller]
    pub fn file(&self, picture: usize) -> PathBuf {
        let folder = &self.folders[self.label(picture) as usize];
        let start = if picture == 0 { 0 } else { self.name_ends[picture - 1] };
        Path::new(folder).join(&self.names[start..self.name_ends[picture]])
    }
}

#[cfg(test)]
mod tests;
