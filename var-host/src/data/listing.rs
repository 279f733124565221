//! The digest of a folder's listing: cheap where the pictures themselves would take a day to read.

use core::fmt::Write;
use std::fs;

use super::Folder;
use crate::checkpoint::Digest;

impl Folder {
    /// BLAKE3 over a line for each class, `NUMBER NAME`, then one for each picture in order,
    /// `LABEL BYTES CLASS/FILE`: pictures that are renamed, added, removed, moved to another class or of
    /// another size are seen, others that are changed in place are not. Where the folder itself lies
    /// does not count; of a picture that cannot be found `BYTES` is `-`.
    pub fn listing_digest(&self) -> Digest {
        let mut lines = String::new();
        for (number, class) in self.classes().iter().enumerate() {
            writeln!(lines, "{number} {class}").expect("memory is written to");
        }
        let mut hasher = blake3::Hasher::new();
        for picture in 0..self.pictures() {
            let file = self.file(picture);
            let size = fs::metadata(self.path().join(&file)).map(|found| found.len().to_string());
            let (size, file) = (size.unwrap_or_else(|_| "-".to_owned()), file.display());
            writeln!(lines, "{} {size} {file}", self.label(picture)).expect("memory is written to");
            hasher.update(lines.as_bytes());
            lines.clear();
        }
        Digest::from(hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    // Audit 4: --data exchanged on resume.
    #[test]
    fn names_labels_and_sizes_count_and_the_place_does_not() {
        let files = [("a/1.png", "12"), ("a/2.png", "1"), ("b/3.png", "123")];
        let digest = |files: &[(&str, &str)]| {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), files);
            Folder::open(folder.path()).unwrap().listing_digest()
        };
        let plain = digest(&files);
        assert_eq!(digest(&files), plain, "elsewhere");
        let same_size = [("a/1.png", "21"), files[1], files[2]];
        assert_eq!(digest(&same_size), plain, "elements are not read");
        for other in [
            [("a/1.png", "123"), files[1], files[2]],
            [("a/0.png", "12"), files[1], files[2]],
            [files[0], files[1], ("c/3.png", "123")],
            [files[0], ("b/2.png", "1"), files[2]],
        ] {
            assert_ne!(digest(&other), plain, "{other:?}");
        }
        assert_ne!(digest(&files[..2]), plain);
    }
}
