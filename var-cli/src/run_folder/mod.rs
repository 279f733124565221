//! A folder of images that one run made: `manifest.json` says by which settings and which they are,
//! `.lock` that a process writes into it now.
//!
//! Processes of the same settings and the same images, as the ranks of one job, write together. A
//! manifest changes only while no other process writes.

mod lock;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};
use var_host::image_folder::{self, ImageFolderError, Manifest, OneRun, difference};
use var_host::images::Parameters;

use crate::args::Session;
use crate::output;

pub(crate) use lock::Lock;

/// The settings of the run that made the images of a set, if it was one of `var`: the folder must hold
/// one run's images alone. An archive of `var pack` has the settings in its comment.
pub(crate) fn run_of(set: &Path, session: &Session) -> Result<Option<Parameters>> {
    told(image_folder::run_of(set), session)
}

/// The same of a folder; of a file nothing is asked.
pub(crate) fn check_one_run(folder: &Path, session: &Session) -> Result<Option<Parameters>> {
    told(image_folder::check_one_run(folder), session)
}

/// Warns of images that are not there; adds to a refusal how to get on.
fn told(found: Result<OneRun, ImageFolderError>, session: &Session) -> Result<Option<Parameters>> {
    match found {
        Ok(OneRun { settings, missing }) => {
            missing.iter().for_each(|line| session.warn(line));
            Ok(settings)
        }
        Err(fault) if fault.is_of_several_runs() => {
            bail!("{fault}: give each run a folder of its own, or take them together by --any-run")
        }
        Err(fault) => Err(fault.into()),
    }
}

/// Begins to write the images of `wanted` into `folder`, which is made if it is not there.
///
/// `adopt` names the images there that the settings of `wanted` made, or refuses others. With
/// `--force` it is not asked: what an earlier manifest lists is removed, and nothing else.
///
/// # Errors
/// If other settings made what is there, or another process writes other images; the folder is as it
/// was then.
pub(crate) fn begin(
    folder: &Path,
    wanted: &Manifest,
    adopt: impl FnOnce() -> Result<Vec<String>>,
    session: &Session,
) -> Result<Lock> {
    output::make_folder(folder)?;
    let mut lock = Lock::open(folder, session)?;
    let prepared = || -> Result<()> {
        // Before the manifest: it names the image that differs.
        let adopted = if session.force { Vec::new() } else { adopt()? };
        if lock.is_alone() { prepare(folder, wanted, adopted, session) } else { Ok(()) }
    };
    if let Err(fault) = prepared() {
        return Err(lock.give_up(fault));
    }
    lock.share()?;
    let place = folder.display();
    let Some(there) = Manifest::read(folder)? else {
        bail!("{place}: another process took its manifest away");
    };
    if let Some(differs) = difference(&there.settings, &wanted.settings) {
        bail!("{place}: another process is writing into this folder: it {differs}");
    }
    if !wanted.files.is_subset(&there.files) {
        bail!("{place}: another process is writing other images into this folder");
    }
    Ok(lock)
}

/// Begins to write `files`, images of the settings `shared`, into `folder`, as [`begin`] does: the
/// images of `var` there, if no manifest lists them, must have the same settings.
///
/// # Errors
/// As [`begin`], and if one of `files` is there already and another command made it.
pub(crate) fn begin_files(
    folder: &Path,
    shared: &Parameters,
    files: BTreeSet<String>,
    session: &Session,
) -> Result<Lock> {
    if folder.is_dir() {
        for file in &files {
            output::check_image(&folder.join(file), shared, session)?;
        }
    }
    let wanted = Manifest { settings: shared.clone(), files };
    begin(folder, &wanted, || adopt(folder, shared), session)
}

/// The images of `var` in `folder`, which must have the settings `shared`.
fn adopt(folder: &Path, shared: &Parameters) -> Result<Vec<String>> {
    let unreadable = || format!("{}: cannot be read", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.is_file() && path.extension().is_some_and(|end| end == "png") {
            files.push(path);
        }
    }
    files.sort_unstable();
    let mut adopted = Vec::new();
    for path in files {
        let Some(found) = image_folder::settings(&path) else { continue };
        if let Some(differs) = difference(&found, shared) {
            let path = path.display();
            bail!("{path}: {differs}; take another folder, or --force to overwrite");
        }
        adopted.push(output::file_name(&path));
    }
    Ok(adopted)
}

/// Writes the manifest while no other process writes.
fn prepare(
    folder: &Path,
    wanted: &Manifest,
    adopted: Vec<String>,
    session: &Session,
) -> Result<()> {
    let earlier = Manifest::read(folder)?;
    let mut files = wanted.files.clone();
    if session.force {
        if let Some(earlier) = &earlier {
            let is_same = earlier.settings == wanted.settings;
            // Images of the same run may be another rank's.
            let kept = if is_same { &wanted.files } else { &BTreeSet::new() };
            earlier.files.difference(kept).try_for_each(|file| remove(folder, file))?;
        }
    } else {
        if let Some(earlier) = &earlier {
            if let Some(differs) = difference(&earlier.settings, &wanted.settings) {
                let place = folder.display();
                bail!("{place}: {differs}; take another folder, or --force to overwrite");
            }
            files.extend(earlier.files.iter().filter(|file| folder.join(file).exists()).cloned());
        }
        files.extend(adopted);
    }
    let manifest = Manifest { settings: wanted.settings.clone(), files };
    if earlier.as_ref() == Some(&manifest) { Ok(()) } else { Ok(manifest.write(folder)?) }
}

fn remove(folder: &Path, file: &str) -> Result<()> {
    let path = folder.join(file);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{}: cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
