//! A folder of pictures: one folder for each class, the pictures in it.

use std::fs;
use std::path::{Path, PathBuf};

use super::DataError;

/// The endings of pictures' names.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// The pictures of a data set, `CLASS/FILE`, numbered class by class.
///
/// Classes and the files of each are in the order of their names' bytes. Of a class's files those
/// called `.png`, `.jpg`, `.jpeg` or `.webp`, in large or small letters, are pictures; what is in
/// folders below is not looked at, and names that begin with a dot are passed over. A picture takes
/// its name's length and 8 bytes of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
    classes: Vec<String>,
    /// For each class the number of pictures up to its end.
    class_ends: Vec<usize>,
    /// The names of all pictures, one after the other, and where each ends.
    names: String,
    name_ends: Vec<usize>,
}

/// The names of the classes in a folder: its folders, sorted.
///
/// # Errors
/// If the folder cannot be read, has no folder in it, or one whose name is not Unicode.
pub fn class_names(path: &Path) -> Result<Vec<String>, DataError> {
    let classes = sorted_names(path, |entry, _| entry.path().is_dir())?;
    if classes.is_empty() {
        return Err(DataError::NoClasses { path: path.to_path_buf() });
    }
    Ok(classes)
}

/// The pictures in a folder and all folders below it, as paths within it, in the order of their bytes.
///
/// What counts as a picture is as for [`Folder`].
///
/// # Errors
/// If a folder cannot be read, or the name of a picture is not Unicode.
pub fn picture_files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        let whole = path.join(&folder);
        let of = |names: Vec<String>| names.into_iter().map(|name| folder.join(name));
        files.extend(of(sorted_names(&whole, is_picture)?));
        folders.extend(of(sorted_names(&whole, |entry, _| entry.path().is_dir())?));
    }
    files.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Ok(files)
}

impl Folder {
    /// The pictures in the folders of `path`, each folder a class.
    ///
    /// # Errors
    /// Those of [`class_names`], and if there is no picture at all, or one whose name is not Unicode.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Self::read(path, class_names(path)?)
    }

    /// The pictures in the folders of `path`, with classes numbered as elsewhere: those to validate
    /// on with the class names of those to train on. A class may be missing.
    ///
    /// # Errors
    /// Those of [`Folder::open`], and if a folder is called as none of `classes` is.
    pub fn open_with_classes(path: &Path, classes: &[String]) -> Result<Self, DataError> {
        if let Some(class) = class_names(path)?.into_iter().find(|name| !classes.contains(name)) {
            let path = path.to_path_buf();
            return Err(DataError::UnknownClass { path, class, classes: classes.len() });
        }
        Self::read(path, classes.to_vec())
    }

    fn read(path: &Path, classes: Vec<String>) -> Result<Self, DataError> {
        let (mut names, mut name_ends, mut class_ends) = (String::new(), Vec::new(), Vec::new());
        for class in &classes {
            let folder = path.join(class);
            if folder.is_dir() {
                for name in sorted_names(&folder, is_picture)? {
                    names.push_str(&name);
                    name_ends.push(names.len());
                }
            }
            class_ends.push(name_ends.len());
        }
        let path = path.to_path_buf();
        if name_ends.is_empty() {
            return Err(DataError::NoPictures { path, classes: classes.len() });
        }
        names.shrink_to_fit();
        name_ends.shrink_to_fit();
        Ok(Self { path, classes, class_ends, names, name_ends })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the classes, by number.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// How many pictures there are, at least one.
    pub fn pictures(&self) -> usize {
        self.name_ends.len()
    }

    /// The class of a picture.
    ///
    /// # Panics
    /// If there are not so many pictures.
    #[track_caller]
    pub fn label(&self, picture: usize) -> u32 {
        assert!(picture < self.pictures(), "folder: picture {picture} of {}", self.pictures());
        self.class_ends.partition_point(|end| *end <= picture) as u32
    }

    /// Where a picture is within the folder: `CLASS/FILE`.
    ///
    /// # Panics
    /// If there are not so many pictures.
    #[track_caller]
    pub fn file(&self, picture: usize) -> PathBuf {
        let class = &self.classes[self.label(picture) as usize];
        let start = if picture == 0 { 0 } else { self.name_ends[picture - 1] };
        Path::new(class).join(&self.names[start..self.name_ends[picture]])
    }
}

/// The names in a folder that `wanted` takes and that do not begin with a dot, sorted.
fn sorted_names(
    folder: &Path,
    wanted: impl Fn(&fs::DirEntry, &str) -> bool,
) -> Result<Vec<String>, DataError> {
    let fault = |source| DataError::Folder { path: folder.to_path_buf(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let name = entry.file_name();
        // A name that is not Unicode matters only if the entry does.
        let known = name.to_string_lossy();
        if known.starts_with('.') || !wanted(&entry, &known) {
            continue;
        }
        let name = name.into_string().map_err(|_| DataError::Name { path: entry.path() })?;
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether an entry is a file, or a link that does not lead elsewhere than to one, called as
/// pictures are. A link to nothing counts: a picture is missing there.
fn is_picture(entry: &fs::DirEntry, name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
    if !ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
    {
        return false;
    }
    // Without another question to the system where it tells files from folders in the list itself.
    entry.file_type().is_ok_and(|kind| kind.is_file())
        || entry.file_type().is_ok_and(|kind| kind.is_symlink())
            && fs::metadata(entry.path()).map_or(true, |target| target.is_file())
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn pictures_are_numbered_class_by_class() {
        let folder = with_files(&[
            "dog/b.JPEG",
            "dog/a.webp",
            "dog/.hidden.png",
            "dog/notes.txt",
            "dog/png",
            "cat/z.png",
            "cat/more/x.png",
            ".git/x.png",
            "emu/README",
            "top.png",
        ]);
        fs::create_dir(folder.path().join("cat/folder.png")).unwrap();
        let pictures = Folder::open(folder.path()).unwrap();
        assert_eq!(pictures.classes(), ["cat", "dog", "emu"]);
        let all = (0..pictures.pictures()).map(|n| (pictures.label(n), pictures.file(n)));
        let expected = [(0, "cat/z.png"), (1, "dog/a.webp"), (1, "dog/b.JPEG")];
        assert!(all.eq(expected.map(|(label, file)| (label, PathBuf::from(file)))));
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
        assert_eq!(picture_files(folder.path()).unwrap(), expected);
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
            "DATA: no class is called \"bees\", the 3 classes are others"
        );
    }

    #[test]
    fn folders_that_are_none_are_refused() {
        let folder = with_files(&["file.png", "empty/a.txt", "empty/b/c.png"]);
        let empty = folder.path().join("empty");
        let fault = |path: &Path| fault(Folder::open(path), &folder);
        assert_eq!(fault(&folder.path().join("none")), "cannot read the folder DATA/none");
        assert_eq!(fault(&folder.path().join("file.png")), "cannot read the folder DATA/file.png");
        let message = "DATA: no pictures (png, jpg, jpeg, webp) in its 1 classes";
        assert_eq!(fault(folder.path()), message);
        assert_eq!(
            fault(&empty.join("b")),
            "DATA/empty/b: wants a folder for each class, has none"
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed() {
        use std::os::unix::fs::symlink;

        let folder = with_files(&["cat/a.png", "elsewhere.png"]);
        let link = |to: &str, name: &str| symlink(folder.path().join(to), folder.path().join(name));
        link("elsewhere.png", "cat/b.png").unwrap();
        link("nowhere.png", "cat/c.png").unwrap();
        link("cat", "cat/d.png").unwrap();
        link("cat", "dog").unwrap();
        let pictures = Folder::open(folder.path()).unwrap();
        assert_eq!(pictures.classes(), ["cat", "dog"]);
        assert_eq!(pictures.pictures(), 6);
        assert_eq!(pictures.file(5), Path::new("dog/c.png"));
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
