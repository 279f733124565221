//! A folder of images: one folder for each class, the images in it.

use std::path::{Path, PathBuf};

use super::walk::{self, FolderWalk, LeftOut};
use super::{ClassNames, DataError};

/// The images of a data set, `CLASS/…/FILE`, numbered class by class.
///
/// As in torchvision's `DatasetFolder`, classes are the folders, in the order of their names' bytes;
/// a class's images are all files below its folder with one of the [`ENDINGS`],
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
mod tests {
    use std::fs;

    use super::*;

    /// A folder with these files, empty.
    fn with_files(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn fault(result: Result<Folder, DataError>, folder: &tempfile::TempDir) -> String {
        result.unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "DATA")
    }

    fn listed(pictures: &Folder) -> Vec<(u32, String)> {
        let of = |n| (pictures.label(n), pictures.file(n).to_str().unwrap().to_owned());
        (0..pictures.pictures()).map(of).collect()
    }

    fn expected(files: &[(u32, &str)]) -> Vec<(u32, String)> {
        files.iter().map(|(label, file)| (*label, (*file).to_owned())).collect()
    }

    #[test]
    fn pictures_are_numbered_class_by_class() {
        let folder = with_files(&[
            "dog/b.JPEG",
            "dog/a.webp",
            "dog/.hidden.png",
            "dog/c.bmp",
            "dog/d.TIFF",
            "dog/notes.txt",
            "dog/png",
            "cat/z.png",
            ".git/x.png",
            "top.png",
        ]);
        fs::create_dir(folder.path().join("cat/folder.png")).unwrap();
        let pictures = Folder::open(folder.path()).unwrap();
        assert_eq!(pictures.classes(), ["cat", "dog"]);
        // D03: other formats than PNG, JPEG and WebP are images too.
        let files = [
            (0, "cat/z.png"),
            (1, "dog/a.webp"),
            (1, "dog/b.JPEG"),
            (1, "dog/c.bmp"),
            (1, "dog/d.TIFF"),
        ];
        assert_eq!(listed(&pictures), expected(&files));
        let text = "folders without images, no classes: .git; 1 image in no class's folder; \
                    2 files of other kinds (1 without an ending, 1 .txt); 1 hidden";
        assert_eq!(pictures.left_out().to_string(), text);
    }

    /// D01: the layout of tiny-imagenet, and a class with images at two depths.
    #[test]
    fn folders_below_a_class_are_walked_in_the_order_of_torchvision() {
        let folder = with_files(&[
            "n01/images/n01_1.JPEG",
            "n01/images/n01_0.JPEG",
            "n01/n01_boxes.txt",
            "n02/images/n02_0.JPEG",
            "n02/a/x.png",
            "n02/a b/y.png",
            "n02/a/c/z.png",
            "n02/z.png",
        ]);
        let pictures = Folder::open(folder.path()).unwrap();
        assert_eq!(pictures.classes(), ["n01", "n02"]);
        // `sorted(os.walk(class))`: a space sorts before a slash.
        let files = [
            (0, "n01/images/n01_0.JPEG"),
            (0, "n01/images/n01_1.JPEG"),
            (1, "n02/z.png"),
            (1, "n02/a/x.png"),
            (1, "n02/a b/y.png"),
            (1, "n02/a/c/z.png"),
            (1, "n02/images/n02_0.JPEG"),
        ];
        assert_eq!(listed(&pictures), expected(&files));
        let text = "1 file of other kinds (1 .txt)";
        assert_eq!(pictures.left_out().to_string(), text);
    }

    /// D02b: folders of systems and empty ones are no classes, in training and in validation.
    #[test]
    fn folders_without_pictures_are_no_classes() {
        let more = [
            "cat/1.png",
            "cat/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
            "cat/.ipynb_checkpoints/1-checkpoint.png",
            "cat/Thumbs.db",
            "cat/._1.jpg",
            "dog/1.png",
            "__MACOSX/cat/1.png",
            "@eaDir/1.jpg",
            ".git/x.png",
            "bird/notes.txt",
            "bird/deep/.x.png",
        ];
        let train = with_files(&more);
        let pictures = Folder::open(train.path()).unwrap();
        assert_eq!(listed(&pictures), expected(&[(0, "cat/1.png"), (1, "dog/1.png")]));
        let text = "folders without images, no classes: .git, @eaDir, __MACOSX, bird; \
                    2 files of other kinds (1 .db, 1 .txt); 4 hidden";
        assert_eq!(pictures.left_out().to_string(), text);
        assert_eq!(class_names(train.path()).unwrap(), ["cat", "dog"]);
        // The same folders beside the classes to validate on; one class is empty there.
        let val = with_files(&[&more[..5], &more[6..], &["dog/none.txt"]].concat());
        let classes = pictures.classes();
        let pictures = Folder::open_with_classes(val.path(), classes).unwrap();
        assert_eq!(listed(&pictures), expected(&[(0, "cat/1.png")]));
        assert_eq!(pictures.left_out().folders, [".git", "@eaDir", "__MACOSX", "bird"]);
        // Empty in training, but not in validation: that class is unknown.
        let other = with_files(&["cat/1.png", "bird/1.png"]);
        let message = "DATA: no class is called \"bird\", the 2 classes are others";
        assert_eq!(fault(Folder::open_with_classes(other.path(), classes), &other), message);
    }

    #[test]
    fn pictures_are_found_at_any_depth() {
        let folder = with_files(&[
            "b.png",
            "a/2.jpg",
            "a/1.webp",
            "a/c/x.PNG",
            "a.png",
            ".d/y.png",
            "z.txt",
        ]);
        let expected = ["a.png", "a/1.webp", "a/2.jpg", "a/c/x.PNG", "b.png"].map(PathBuf::from);
        assert_eq!(image_files(folder.path()).unwrap(), expected);
    }

    #[test]
    fn validation_has_the_numbers_of_training() {
        let train = with_files(&["ant/1.png", "bee/1.png", "cat/1.png"]);
        let train = Folder::open(train.path()).unwrap();
        let val = with_files(&["bee/3.png", "cat/3.png", "cat/4.png"]);
        let pictures = Folder::open_with_classes(val.path(), train.classes()).unwrap();
        assert_eq!(pictures.classes(), train.classes());
        assert_eq!([0, 1, 2].map(|n| pictures.label(n)), [1, 2, 2]);

        let other = with_files(&["bee/3.png", "bees/3.png"]);
        assert_eq!(
            fault(Folder::open_with_classes(other.path(), train.classes()), &other),
            "DATA: no class is called \"bees\", the 3 classes are others; near it: \"bee\""
        );
    }

    /// D04: a name with an accent as one character, as macOS unpacks it in two, is one name.
    #[test]
    fn composed_and_decomposed_accents_are_one_name() {
        let val = with_files(&["cafe\u{301}/1.png", "tea/1.png"]);
        let names = ["caf\u{e9}", "tea"].map(str::to_owned);
        let pictures = Folder::open_with_classes(val.path(), &names).unwrap();
        assert_eq!(listed(&pictures), expected(&[(0, "cafe\u{301}/1.png"), (1, "tea/1.png")]));
        let twice = with_files(&["cafe\u{301}/1.png", "caf\u{e9}/1.png"]);
        let message = fault(Folder::open_with_classes(twice.path(), &names), &twice);
        assert!(message.starts_with("DATA: two folders are the class"), "{message}");
    }

    #[test]
    fn a_name_of_two_classes_is_refused() {
        let val = with_files(&["crane/1.png", "tea/1.png"]);
        let names = ["crane", "tea", "crane"].map(str::to_owned);
        let message = fault(Folder::open_with_classes(val.path(), &names), &val);
        assert_eq!(message, "DATA: the classes 0, 2 are all called \"crane\"");
        // Nothing is to be told apart where no folder is called so.
        let val = with_files(&["tea/1.png"]);
        let pictures = Folder::open_with_classes(val.path(), &names).unwrap();
        assert_eq!(listed(&pictures), expected(&[(1, "tea/1.png")]));
    }

    #[test]
    fn folders_that_are_none_are_refused() {
        let folder = with_files(&["file.png", "empty/a.txt", "empty/b/c.gif2"]);
        let empty = folder.path().join("empty");
        let fault = |path: &Path| fault(Folder::open(path), &folder);
        assert_eq!(fault(&folder.path().join("none")), "cannot read the folder DATA/none");
        assert_eq!(fault(&folder.path().join("file.png")), "cannot read the folder DATA/file.png");
        let message = "DATA: no images (png, jpg, jpeg, webp, bmp, gif, tif, tiff, ppm, pgm, pbm, pnm) \
                       in its 1 class";
        assert_eq!(fault(folder.path()), message);
        assert_eq!(
            fault(&empty.join("b")),
            "DATA/empty/b: wants a folder for each class, has none"
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_in_circles() {
        use std::os::unix::fs::symlink;

        let folder = with_files(&["data/cat/a.png", "elsewhere.png", "pool/p.png", "other/o.png"]);
        let path = |name: &str| folder.path().join(name);
        let link = |to: &str, name: &str| symlink(path(to), path(name)).unwrap();
        link("elsewhere.png", "data/cat/b.png");
        link("nowhere.png", "data/cat/c.png");
        link("pool", "data/cat/more");
        link("data/cat", "data/dog");
        // To itself, to the folder above the class, and there and back again.
        link("data/cat", "data/cat/self");
        symlink("..", path("data/cat/up")).unwrap();
        link("other", "pool/there");
        link("pool", "other/back");
        let pictures = Folder::open(&path("data")).unwrap();
        assert_eq!(pictures.classes(), ["cat", "dog"]);
        let of = |label: u32, class: &str| {
            let names = ["a.png", "b.png", "c.png", "more/p.png", "more/there/o.png"];
            names.map(|name| (label, format!("{class}/{name}")))
        };
        assert_eq!(listed(&pictures), [of(0, "cat"), of(1, "dog")].concat());
        assert_eq!(pictures.left_out().cycles, 6);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_are_not_unicode_are_told() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let folder = with_files(&["cat/a.png"]);
        let name = |bytes| folder.path().join("cat").join(OsStr::from_bytes(bytes));
        fs::write(name(b"\xff.txt"), "").unwrap();
        Folder::open(folder.path()).unwrap();
        fs::write(name(b"\xff.png"), "").unwrap();
        assert!(fault(Folder::open(folder.path()), &folder).ends_with(": the name is not Unicode"));
    }
}
