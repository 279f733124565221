//! A folder with a file for each image, which an interrupted run goes on filling.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use var_host::engine::ImageSpec;
use var_host::image_folder::{Manifest, difference, is_of_unknown_model};
use var_host::images::{self, Parameters, RgbImage};
use var_host::plural::count;

use crate::args::Session;
use crate::classes::Classes;
use crate::output;
use crate::run_folder::{self, Lock};

/// The folder, and the parameters common to its images.
pub(super) struct Folder<'a> {
    path: &'a Path,
    shared: Parameters,
    classes: Classes<'a>,
    session: &'a Session,
    /// Held while images are written.
    _lock: Lock,
}

impl<'a> Folder<'a> {
    /// Begins to fill the folder at `path`, which is made if it is not there, with images of the jobs
    /// `all` of every process of the run: of each one for every suffix of its name.
    ///
    /// # Errors
    /// If any image of this command is there that other settings made, and nothing is to be
    /// overwritten; if another process fills the folder with others.
    pub(super) fn begin(
        path: &'a Path,
        shared: Parameters,
        classes: Classes<'a>,
        all: &[ImageSpec],
        suffixes: Vec<String>,
        session: &'a Session,
    ) -> Result<Self> {
        let names = all.iter().flat_map(|job| suffixes.iter().map(|end| name(classes, *job, end)));
        let wanted = Manifest { settings: shared.clone(), files: names.collect() };
        let adopt = || adopt(path, &shared, classes, all, session);
        let _lock = run_folder::begin(path, &wanted, adopt, session)?;
        Ok(Self { path, shared, classes, session, _lock })
    }

    /// Those of `own` without images yet.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(super) fn missing(&self, own: &[ImageSpec]) -> Result<Vec<ImageSpec>> {
        if self.session.force {
            return Ok(own.to_vec());
        }
        let there = there(self.path)?;
        Ok(own.iter().filter(|job| !there.contains_key(&job.index)).copied().collect())
    }

    /// Writes the image of `job`, `suffix` after its name.
    pub(super) fn write(&self, job: ImageSpec, suffix: &str, picture: &RgbImage) -> Result<()> {
        let path = self.path.join(name(self.classes, job, suffix));
        output::write_image(
            &path,
            picture,
            &parameters(&self.shared, self.classes, job),
            self.session,
        )
    }
}

/// The file of an image.
fn name(classes: Classes<'_>, job: ImageSpec, suffix: &str) -> String {
    format!("{:06}-{}{suffix}.png", job.index, classes.file_name(job.label))
}

fn parameters(shared: &Parameters, classes: Classes<'_>, job: ImageSpec) -> Parameters {
    let mut parameters = shared.clone();
    parameters.insert("index".to_owned(), job.index.to_string());
    parameters.insert("class".to_owned(), classes.number(job.label).to_string());
    parameters.insert("class_name".to_owned(), classes.name(job.label));
    parameters
}

/// The images in the folder, which must be those of `all` or of a longer run with the same settings.
fn adopt(
    folder: &Path,
    shared: &Parameters,
    classes: Classes<'_>,
    all: &[ImageSpec],
    session: &Session,
) -> Result<Vec<String>> {
    let there = there(folder)?;
    let jobs: HashMap<u32, ImageSpec> = all.iter().map(|job| (job.index, *job)).collect();
    let mut sorted: Vec<_> = there.iter().collect();
    sorted.sort_unstable();
    let mut unknown = 0;
    for (index, path) in &sorted {
        let found = images::read_parameters(path)?;
        unknown += usize::from(is_of_unknown_model(&found));
        let wanted = match jobs.get(index) {
            Some(job) => parameters(shared, classes, *job),
            // Of a longer run: its settings must be the same all the same.
            None => shared.clone(),
        };
        if let Some(differs) = difference(&found, &wanted) {
            let path = path.display();
            bail!("{path}: {differs}; take another folder, or --force to overwrite");
        }
    }
    if unknown > 0 {
        let (folder, of) = (folder.display(), count(sorted.len(), "image"));
        session.warn(&format!(
            "{folder}: {unknown} of the {of} there do not say by a digest which model made them: that it \
             is this one is not known"
        ));
    }
    Ok(sorted.into_iter().map(|(_, path)| output::file_name(path)).collect())
}

/// Images in the folder by their index.
fn there(folder: &Path) -> Result<HashMap<u32, PathBuf>> {
    let unreadable = || format!("{}: cannot be read", folder.display());
    let mut there = HashMap::new();
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if let Some(index) = path.file_name().and_then(|name| index(name.to_str()?)) {
            there.insert(index, path);
        }
    }
    Ok(there)
}

/// The index in a name that [`Folder::write`] gives without a suffix.
fn index(name: &str) -> Option<u32> {
    let (index, class) = name.strip_suffix(".png")?.split_once('-')?;
    // The number, and where the class is called by another number, that too.
    let numbers =
        class.strip_prefix("class").map(|label| label.split_once('-').unwrap_or((label, "0")));
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    let numbered = numbers.is_some_and(|(label, name)| is_number(label) && is_number(name));
    (numbered || class == "none").then(|| index.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_known_by_their_names() {
        assert_eq!(index("000012-class3.png"), Some(12));
        assert_eq!(index("000012-none.png"), Some(12));
        assert_eq!(index("000012-class2-10.png"), Some(12));
        for name in ["000012-class3-scale01.png", "12.png", "a-class1.png", ".000012-class3.png.x"]
        {
            assert_eq!(index(name), None, "{name}");
        }
    }
}
