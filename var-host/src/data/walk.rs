//! The images below a folder, found as torchvision's `DatasetFolder` finds them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::DataError;
use crate::images::ENDINGS;
use crate::plural::count;

/// Folders of operating systems and storage devices: their images are thumbnails and waste.
const SYSTEM_FOLDERS: [&str; 7] = [
    "__MACOSX",
    "@eaDir",
    "#recycle",
    "@Recycle",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
];

/// The most names in a message.
const NAMED: usize = 5;

/// Entries of a data set that are not among its images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Folders beside the classes' that hold no image, are hidden or belong to a system.
    pub folders: Vec<String>,
    /// Files of other kinds, by the endings of their names in small letters.
    pub files: BTreeMap<String, usize>,
    /// Images beside the classes' folders, in none of them.
    pub loose: usize,
    /// Files and folders with names that begin with a dot, and folders of systems.
    pub hidden: usize,
    /// Links to a folder that they are in.
    pub cycles: usize,
}

impl LeftOut {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether images or classes may be missing that were meant to be there.
    pub fn is_suspicious(&self) -> bool {
        !self.folders.is_empty() || self.loose > 0 || self.cycles > 0
    }

    fn file(&mut self, name: &str) {
        let ending = Path::new(name).extension().unwrap_or_default().to_string_lossy();
        *self.files.entry(ending.to_lowercase()).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: Self) {
        self.folders.extend(other.folders);
        for (ending, count) in other.files {
            *self.files.entry(ending).or_default() += count;
        }
        self.loose += other.loose;
        self.hidden += other.hidden;
        self.cycles += other.cycles;
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.folders.is_empty() {
            parts.push(format!("folders without images, no classes: {}", some(&self.folders)));
        }
        if self.loose > 0 {
            parts.push(format!("{} in no class's folder", count(self.loose, "image")));
        }
        if !self.files.is_empty() {
            let files: usize = self.files.values().sum();
            let mut kinds: Vec<_> = self.files.iter().collect();
            kinds.sort_by_key(|(_, count)| core::cmp::Reverse(**count));
            let kind = |(ending, count): &(&String, &usize)| match ending.as_str() {
                "" => format!("{count} without an ending"),
                ending => format!("{count} .{ending}"),
            };
            let kinds: Vec<String> = kinds.iter().map(kind).collect();
            parts.push(format!("{} of other kinds ({})", count(files, "file"), some(&kinds)));
        }
        if self.hidden > 0 {
            parts.push(format!("{} hidden", self.hidden));
        }
        if self.cycles > 0 {
            parts.push(format!("{} to a folder above", count(self.cycles, "link")));
        }
        f.write_str(&parts.join("; "))
    }
}

/// The first few of `texts`.
fn some(texts: &[String]) -> String {
    let mut text = texts[..texts.len().min(NAMED)].join(", ");
    if texts.len() > NAMED {
        text += &format!(" and {} more", texts.len() - NAMED);
    }
    text
}

/// The folders that classes may have, and everything beside them.
pub(super) fn class_folders(path: &Path) -> Result<(Vec<String>, LeftOut), DataError> {
    let (mut folders, mut left_out) = (Vec::new(), LeftOut::default());
    for entry in entries(path)? {
        match entry.kind {
            EntryKind::Folder { .. } if entry.is_passed_over() => {
                left_out.folders.push(entry.shown())
            }
            EntryKind::Folder { .. } => folders.push(entry.unicode()?),
            _ if entry.is_passed_over() => left_out.hidden += 1,
            EntryKind::Image => left_out.loose += 1,
            EntryKind::Other => left_out.file(&entry.shown()),
        }
    }
    folders.sort_unstable();
    left_out.folders.sort_unstable();
    Ok((folders, left_out))
}

/// The folders at and below one, each with its images.
///
/// Hidden entries and folders of systems are passed over. Links are followed, but not to a folder
/// that the link is in.
pub(super) struct FolderWalk {
    base: PathBuf,
    next: Vec<PendingFolder>,
    /// Everything that was come upon and is no image.
    pub(super) left_out: LeftOut,
}

/// A folder on the way.
struct PendingFolder {
    /// From the base; empty for that itself.
    relative: String,
    /// The folder without links.
    here: PathBuf,
    /// The folders without links that links were followed from, on the way here.
    trail: Rc<Vec<PathBuf>>,
}

impl FolderWalk {
    pub(super) fn new(base: &Path) -> Result<Self, DataError> {
        let here = fs::canonicalize(base).map_err(fault(base))?;
        let first = PendingFolder { relative: String::new(), here, trail: Rc::default() };
        Ok(Self { base: base.to_path_buf(), next: vec![first], left_out: LeftOut::default() })
    }

    /// All images as paths from the base, in the order of their folders' paths and then of their
    /// names.
    pub(super) fn pictures(mut self) -> Result<(Vec<String>, LeftOut), DataError> {
        let mut folders = Vec::new();
        while let Some(place) = self.next.pop() {
            let names = self.folder(&place)?;
            if !names.is_empty() {
                folders.push((place.relative, names));
            }
        }
        folders.sort_unstable();
        let path = |folder: &str, name: String| match folder {
            "" => name,
            folder => format!("{folder}/{name}"),
        };
        let of = |(folder, names): (String, Vec<String>)| {
            names.into_iter().map(move |name| path(&folder, name)).collect::<Vec<_>>()
        };
        Ok((folders.into_iter().flat_map(of).collect(), self.left_out))
    }

    /// Whether there is an image at all; looks no further than that.
    pub(super) fn has_images(mut self) -> Result<bool, DataError> {
        while let Some(place) = self.next.pop() {
            if !self.folder(&place)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The images of a folder, sorted; the folders in it come later.
    fn folder(&mut self, place: &PendingFolder) -> Result<Vec<String>, DataError> {
        let mut names = Vec::new();
        for entry in entries(&self.base.join(&place.relative))? {
            if entry.is_passed_over() {
                self.left_out.hidden += 1;
                continue;
            }
            match entry.kind {
                EntryKind::Image => names.push(entry.unicode()?),
                EntryKind::Other => self.left_out.file(&entry.shown()),
                EntryKind::Folder { linked } => {
                    let name = entry.unicode()?;
                    let relative = match place.relative.as_str() {
                        "" => name.clone(),
                        above => format!("{above}/{name}"),
                    };
                    let (mut here, mut trail) = (place.here.join(&name), Rc::clone(&place.trail));
                    if linked {
                        let target = fs::canonicalize(&entry.path).map_err(fault(&entry.path))?;
                        let above = trail.iter().chain([&place.here]);
                        if above.into_iter().any(|folder| folder.starts_with(&target)) {
                            self.left_out.cycles += 1;
                            continue;
                        }
                        trail = Rc::new(trail.iter().chain([&place.here]).cloned().collect());
                        here = target;
                    }
                    self.next.push(PendingFolder { relative, here, trail });
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Something in a folder.
struct DirectoryEntry {
    path: PathBuf,
    kind: EntryKind,
}

enum EntryKind {
    Image,
    Folder { linked: bool },
    Other,
}

impl DirectoryEntry {
    fn shown(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn unicode(&self) -> Result<String, DataError> {
        let name = self.path.file_name().and_then(|name| name.to_str());
        name.map(str::to_owned).ok_or_else(|| DataError::Name { path: self.path.clone() })
    }

    fn is_passed_over(&self) -> bool {
        let name = self.shown();
        let is_folder = matches!(self.kind, EntryKind::Folder { .. });
        name.starts_with('.') || is_folder && SYSTEM_FOLDERS.contains(&name.as_str())
    }
}

fn entries(folder: &Path) -> Result<Vec<DirectoryEntry>, DataError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault(folder))? {
        let entry = entry.map_err(fault(folder))?;
        let path = entry.path();
        let picture = is_image_name(Path::new(&entry.file_name()));
        // Without another question to the system where it tells files from folders in the list itself.
        let kind = entry.file_type().map_err(fault(&path))?;
        let kind = if kind.is_dir() {
            EntryKind::Folder { linked: false }
        } else if kind.is_symlink() {
            match fs::metadata(&path) {
                Ok(target) if target.is_dir() => EntryKind::Folder { linked: true },
                Ok(target) if target.is_file() && picture => EntryKind::Image,
                // A link to nothing: an image is missing there.
                Err(_) if picture => EntryKind::Image,
                _ => EntryKind::Other,
            }
        } else if kind.is_file() && picture {
            EntryKind::Image
        } else {
            EntryKind::Other
        };
        found.push(DirectoryEntry { path, kind });
    }
    Ok(found)
}

fn fault(path: &Path) -> impl Fn(std::io::Error) -> DataError {
    let path = path.to_path_buf();
    move |source| DataError::Folder { path: path.clone(), source }
}

/// Whether a file is called as images are.
pub(super) fn is_image_name(name: &Path) -> bool {
    let ending = name.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_out_entries_are_counted_by_their_endings() {
        let mut left_out = LeftOut::default();
        assert!(left_out.is_empty() && !left_out.is_suspicious());
        for name in ["a.txt", "b.TXT", "Thumbs.db", "README"] {
            left_out.file(name);
        }
        assert!(!left_out.is_suspicious());
        left_out.hidden = 2;
        let text = "4 files of other kinds (2 .txt, 1 without an ending, 1 .db); 2 hidden";
        assert_eq!(left_out.to_string(), text);
        let folders = (0..7).map(|n| format!("f{n}")).collect();
        left_out.add(LeftOut { folders, loose: 1, cycles: 1, ..LeftOut::default() });
        let text = format!(
            "folders without images, no classes: f0, f1, f2, f3, f4 and 2 more; 1 image in no \
             class's folder; {text}; 1 link to a folder above"
        );
        assert_eq!(left_out.to_string(), text);
        assert!(left_out.is_suspicious());
    }
}
