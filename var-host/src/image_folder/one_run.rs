//! Whether all images of a folder come from one run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use var_host::data::image_files;
use var_host::images::{Parameters, read_parameters};
use var_host::npz::Npz;
use var_host::plural::count;

use super::lock;
use super::manifest::{Manifest, difference};
use crate::args::Session;

/// Parameters in which the images of one run differ.
const OF_EACH: [&str; 4] = ["index", "class", "class_name", "image"];

/// [`check_one_run`] of a folder; of an archive of `var pack` the settings in its comment.
///
/// # Errors
/// As [`check_one_run`].
pub(crate) fn run_of(set: &Path, session: &Session) -> Result<Option<Parameters>> {
    if set.is_dir() {
        return check_one_run(set, session);
    }
    // An archive that cannot be read is refused where its images are.
    let Ok(archive) = Npz::open(set) else { return Ok(None) };
    let settings: Option<Parameters> = serde_json::from_slice(archive.comment()).ok();
    Ok(settings.filter(is_ours))
}

/// Refuses a folder whose images several runs of `var` made, or into which a process writes now; does
/// nothing for a file. Returns the settings of the run, if `var` made the images.
pub(crate) fn check_one_run(folder: &Path, session: &Session) -> Result<Option<Parameters>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let files = image_files(folder)?;
    let mut manifests: BTreeMap<PathBuf, Option<Manifest>> = BTreeMap::new();
    let mut first: Option<(PathBuf, Option<Parameters>)> = None;
    for file in &files {
        let below = file.parent().unwrap_or(Path::new("")).to_path_buf();
        if !manifests.contains_key(&below) {
            manifests.insert(below.clone(), manifest(&folder.join(&below), session)?);
        }
        let path = folder.join(file);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if let Some(Some(manifest)) = manifests.get(&below)
            && !manifest.files.contains(&*name)
        {
            bail!(
                "{}: is not of the run that the folder's manifest.json tells of{WAY_ON}",
                path.display()
            );
        }
        let found = settings(&path);
        let Some((other, settings)) = &first else {
            first = Some((path, found));
            continue;
        };
        let differs = match (settings, &found) {
            (Some(settings), Some(found)) => {
                difference(found, settings).or_else(|| difference(settings, found))
            }
            (None, None) => None,
            _ => Some("only one of the two was made by var".to_owned()),
        };
        if let Some(differs) = differs {
            bail!("{}: {differs} as {} is{WAY_ON}", path.display(), other.display());
        }
    }
    Ok(first.and_then(|(_, settings)| settings))
}

/// How to get on.
const WAY_ON: &str = ": give each run a folder of its own, or take them together by --any-run";

/// The manifest of one folder.
fn manifest(folder: &Path, session: &Session) -> Result<Option<Manifest>> {
    if lock::is_held(folder) {
        bail!("{}: a process is still writing images into this folder", folder.display());
    }
    let manifest = Manifest::read(folder)?;
    if let Some(manifest) = &manifest {
        let missing = manifest.files.iter().filter(|file| !folder.join(file).exists()).count();
        if missing > 0 {
            let of = count(manifest.files.len(), "image");
            let folder = folder.display();
            session.warn(&format!("{folder}: {missing} of the {of} of its run are not there"));
        }
    }
    Ok(manifest)
}

/// What an image has in common with the others of its run, if `var` made it.
pub(super) fn settings(path: &Path) -> Option<Parameters> {
    let mut settings = read_parameters(path).ok()?;
    settings.retain(|option, _| !OF_EACH.contains(&option.as_str()));
    Some(settings).filter(is_ours)
}

/// Whether `var` made images of these settings.
fn is_ours(settings: &Parameters) -> bool {
    settings.get("Software").is_some_and(|software| software == "var")
}
