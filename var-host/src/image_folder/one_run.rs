//! Whether all images of a folder come from one run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::ImageFolderError;
use super::lock::is_held;
use super::manifest::{Manifest, difference};
use crate::data::image_files;
use crate::images::{Parameters, read_parameters};
use crate::npz::Npz;
use crate::plural::count;

/// Parameters in which the images of one run differ.
const OF_EACH: [&str; 4] = ["index", "class", "class_name", "image"];

/// Images of one run, or of no run of `var`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneRun {
    /// The settings of the run, if `var` made the images.
    pub settings: Option<Parameters>,
    /// A line for each folder that lacks images which its run made.
    pub missing: Vec<String>,
}

/// [`check_one_run`] of a folder; of an archive of `var pack` the settings in its comment.
///
/// # Errors
/// As [`check_one_run`].
pub fn run_of(set: &Path) -> Result<OneRun, ImageFolderError> {
    if set.is_dir() {
        return check_one_run(set);
    }
    // An archive that cannot be read is refused where its images are.
    let Ok(archive) = Npz::open(set) else { return Ok(OneRun::default()) };
    let settings: Option<Parameters> = serde_json::from_slice(archive.comment()).ok();
    Ok(OneRun { settings: settings.filter(is_ours), missing: Vec::new() })
}

/// The run of a folder's images; of a file nothing is asked.
///
/// # Errors
/// If several runs of `var` made them, or a process writes into the folder now; if the folder or its
/// manifest cannot be read.
pub fn check_one_run(folder: &Path) -> Result<OneRun, ImageFolderError> {
    let mut missing = Vec::new();
    if !folder.is_dir() {
        return Ok(OneRun::default());
    }
    let files = image_files(folder)?;
    let mut manifests: BTreeMap<PathBuf, Option<Manifest>> = BTreeMap::new();
    let mut first: Option<(PathBuf, Option<Parameters>)> = None;
    for file in &files {
        let below = file.parent().unwrap_or(Path::new("")).to_path_buf();
        if !manifests.contains_key(&below) {
            manifests.insert(below.clone(), manifest(&folder.join(&below), &mut missing)?);
        }
        let image = folder.join(file);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if let Some(Some(manifest)) = manifests.get(&below)
            && !manifest.files.contains(&*name)
        {
            return Err(ImageFolderError::NotListed { image });
        }
        let found = settings(&image);
        let Some((other, settings)) = &first else {
            first = Some((image, found));
            continue;
        };
        let differs = match (settings, &found) {
            (Some(settings), Some(found)) => {
                difference(found, settings).or_else(|| difference(settings, found))
            }
            (None, None) => None,
            _ => Some("only one of the two was made by var".to_owned()),
        };
        if let Some(difference) = differs {
            let other = other.clone();
            return Err(ImageFolderError::SeveralRuns { image, difference, other });
        }
    }
    Ok(OneRun { settings: first.and_then(|(_, settings)| settings), missing })
}

/// The manifest of one folder; a line for `missing` if it lists images that are not there.
fn manifest(
    folder: &Path,
    missing: &mut Vec<String>,
) -> Result<Option<Manifest>, ImageFolderError> {
    if is_held(folder) {
        return Err(ImageFolderError::Unfinished { folder: folder.to_path_buf() });
    }
    let manifest = Manifest::read(folder)?;
    if let Some(manifest) = &manifest {
        let lost = manifest.files.iter().filter(|file| !folder.join(file).exists()).count();
        if lost > 0 {
            let of = count(manifest.files.len(), "image");
            let folder = folder.display();
            missing.push(format!("{folder}: {lost} of the {of} of its run are not there"));
        }
    }
    Ok(manifest)
}

/// The parameters that an image has in common with the others of its run, if `var` made it.
pub fn settings(path: &Path) -> Option<Parameters> {
    let mut settings = read_parameters(path).ok()?;
    settings.retain(|option, _| !OF_EACH.contains(&option.as_str()));
    Some(settings).filter(is_ours)
}

/// Whether `var` made images of these settings.
fn is_ours(settings: &Parameters) -> bool {
    settings.get("Software").is_some_and(|software| software == "var")
}
