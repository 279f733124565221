//! `manifest.json`: the settings of a run and the images that it makes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::ImageFolderError;
use crate::atomic_file::AtomicFile;
use crate::checkpoint::Digest;
use crate::images::Parameters;

/// The file.
const FILE: &str = "manifest.json";
/// Longer ones are none of ours: a million images take 30 MB.
const LONGEST: u64 = 1 << 28;

/// Parameters that only some images of a command have.
const OPTIONAL: [&str; 4] = ["from", "scales", "reject", "reject_by"];
/// Parameters that images of before have not: nothing is known of them.
const LATER: [&str; 9] = [
    "model_digest",
    "model_source",
    "vae_digest",
    "vae_source",
    "tokens_digest",
    "exif",
    "ladder",
    "heads",
    "precision",
];

/// What a folder of images holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What all images say of themselves.
    pub settings: Parameters,
    /// The names of the images, of all ranks, made or to be made.
    pub files: BTreeSet<String>,
}

impl Manifest {
    /// The manifest in `folder`, if there is one.
    ///
    /// # Errors
    /// If it cannot be read, is no manifest or lists a file outside of its folder.
    pub fn read(folder: &Path) -> Result<Option<Self>, ImageFolderError> {
        let path = folder.join(FILE);
        let unreadable =
            |path: &PathBuf, source| ImageFolderError::Read { path: path.clone(), source };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|source| unreadable(&path, source))?,
        };
        let mut text = Vec::new();
        let read = file.take(LONGEST + 1).read_to_end(&mut text);
        read.map_err(|source| unreadable(&path, source))?;
        if text.len() as u64 > LONGEST {
            return Err(ImageFolderError::ManifestLimit { path, limit: LONGEST });
        }
        let manifest: Self = match serde_json::from_slice(&text) {
            Ok(manifest) => manifest,
            Err(source) => return Err(ImageFolderError::Manifest { path, source }),
        };
        // What is listed is removed by --force: nothing outside of the folder.
        let is_name =
            |file: &String| Path::new(file).file_name().is_some_and(|name| name == file.as_str());
        if let Some(file) = manifest.files.iter().find(|file| !is_name(file)) {
            return Err(ImageFolderError::Name { path, file: file.clone() });
        }
        Ok(Some(manifest))
    }

    /// Writes it into `folder`.
    ///
    /// # Errors
    /// If the system refuses; the file is as it was then.
    pub fn write(&self, folder: &Path) -> Result<(), ImageFolderError> {
        let path = folder.join(FILE);
        let mut file = AtomicFile::create(&path, true)?;
        let mut text = serde_json::to_string_pretty(self).expect("text by text");
        text.push('\n');
        let written = file.write_all(text.as_bytes());
        written.map_err(|source| ImageFolderError::Write { path, source })?;
        Ok(file.commit()?)
    }
}

/// In words, the first parameter by which images that were `found` differ from those `wanted`;
/// digests that images of before have not are passed over.
pub fn difference(found: &Parameters, wanted: &Parameters) -> Option<String> {
    // A digest says which model it was where even the names are the same.
    let first = |option: &str| !option.ends_with("_digest");
    let mut options: Vec<_> = wanted.iter().collect();
    options.sort_by_key(|(option, _)| first(option));
    for (option, wants) in options {
        match found.get(option) {
            Some(has) if has == wants => {}
            None if LATER.contains(&option.as_str()) => {}
            Some(has) => {
                let (shown, wanted_shown) = (shown(has), shown(wants));
                let note = precision_note(option, found, wanted);
                return Some(format!(
                    "was made with {option} {shown}, wanted is {wanted_shown}{note}"
                ));
            }
            None => return Some(format!("was made with {option} nothing, wanted is {wants}")),
        }
    }
    let more = |option: &&&str| found.contains_key(**option) && !wanted.contains_key(**option);
    let option = OPTIONAL.iter().find(more)?;
    Some(format!("was made with {option} {}, wanted is without", found[*option]))
}

/// Whether nothing is known of the model that made images which were `found`.
pub fn is_of_unknown_model(found: &Parameters) -> bool {
    !found.contains_key("vae_digest")
}

/// A value, digests in their short form.
fn shown(value: &str) -> String {
    value.parse().map_or(value.to_owned(), |digest: Digest| digest.short())
}

/// Says where two models are the same weights.
fn precision_note(option: &str, found: &Parameters, wanted: &Parameters) -> &'static str {
    let Some(half) = option.strip_suffix("_digest") else { return "" };
    let source = |of: &Parameters| {
        let source = of.get(&format!("{half}_source")).or_else(|| of.get(option));
        source.cloned()
    };
    if source(found) == source(wanted) { " (the same weights in another precision)" } else { "" }
}
