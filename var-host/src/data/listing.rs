//! Digests of a folder: of its listing, and of some of its contents; all of them would take a day to read.

use core::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::Folder;
use crate::checkpoint::Digest;

/// The most images of which a digest of contents reads the first bytes.
///
/// Reading 4 KiB of each takes 10 µs from the page cache and 109 µs from an SSD (EPYC of family 25, 2
/// cores): of these 0.1 s, of all of ImageNet's training set 140 s at each start.
const READ: usize = 1024;

/// The most bytes read of an image.
const FIRST: u64 = 1 << 16;

impl Folder {
    /// BLAKE3 over a line for each class, `NUMBER NAME`, then one for each image in order,
    /// `LABEL BYTES CLASS/FILE`: images that are renamed, added, removed, moved to another class or of
    /// another size are seen; of those changed in place [`Folder::contents_digest`] sees some. Where the folder itself lies
    /// does not count; of an image that cannot be found `BYTES` is `-`.
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

    /// BLAKE3 over a line for each of 1024 images, spread evenly, or of all if there are fewer: the
    /// digest of their first 64 KiB, and `-` for one that cannot be read. It sees a set of images that
    /// were made anew at the same sizes; a single one that was changed in place is seen where it is among
    /// them.
    pub fn contents_digest(&self) -> Digest {
        let (count, mut lines) = (self.pictures().min(READ), String::new());
        for number in 0..count {
            let path = self.path().join(self.file(number * self.pictures() / count));
            let line = first_bytes(&path).map(|bytes| Digest::of_bytes(&bytes).to_string());
            writeln!(lines, "{}", line.as_deref().unwrap_or("-")).expect("memory is written to");
        }
        Digest::of_bytes(lines.as_bytes())
    }
}

fn first_bytes(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FIRST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn contents_digest_sees_changes_in_place_and_not_the_place() {
        let files = [("a/1.png", "12"), ("a/2.png", "1"), ("b/3.png", "123")];
        let digest = |files: &[(&str, &str)]| {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), files);
            Folder::open(folder.path()).unwrap().contents_digest()
        };
        let plain = digest(&files);
        assert_eq!(digest(&files), plain, "elsewhere");
        let [first, second, third] = files;
        assert_ne!(digest(&[("a/1.png", "21"), second, third]), plain);
        assert_ne!(digest(&[first, second, ("b/3.png", "321")]), plain);
        // The first bytes of the files that are read, and no others.
        let many = |changed: usize, at: usize| {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("a")).unwrap();
            for number in 0..2 * READ {
                let mut bytes = vec![0; if number == changed { FIRST as usize + 1 } else { 1 }];
                bytes[if number == changed { at } else { 0 }] = u8::from(number == changed);
                fs::write(folder.path().join(format!("a/{number:05}.png")), bytes).unwrap();
            }
            Folder::open(folder.path()).unwrap().contents_digest()
        };
        assert_ne!(many(2, 0), many(2, 1));
        assert_ne!(many(2, 0), many(4, 0));
        assert_ne!(many(2, FIRST as usize - 1), many(2, FIRST as usize));
        assert_eq!(many(3, 0), many(5, 0), "not read");
    }
}
