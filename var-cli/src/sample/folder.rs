//! A folder with a file for each picture, which an interrupted run goes on filling.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use var_host::engine::Job;
use var_host::pictures::{self, Parameters, Picture};

use crate::args::Session;
use crate::classes::Classes;
use crate::output;

/// Parameters that only some pictures of the command have.
const OPTIONAL: [&str; 4] = ["from", "scales", "reject", "reject_by"];

/// The folder, and what all its pictures have in common.
pub(super) struct Folder<'a> {
    path: &'a Path,
    shared: Parameters,
    classes: Classes<'a>,
    session: &'a Session,
}

impl<'a> Folder<'a> {
    /// Makes the folder at `path`, unless it is there, for the pictures of `command`.
    pub(super) fn new(
        path: &'a Path,
        shared: Parameters,
        classes: Classes<'a>,
        session: &'a Session,
    ) -> Result<Self> {
        output::make_folder(path)?;
        Ok(Self { path, shared, classes, session })
    }

    /// Those of `own` whose pictures are not there yet; `all` are the jobs of every process of the run.
    ///
    /// # Errors
    /// If any picture of this command is there that other settings made, and nothing is to be
    /// overwritten.
    pub(super) fn missing(&self, all: &[Job], own: &[Job]) -> Result<Vec<Job>> {
        if self.session.force {
            return Ok(own.to_vec());
        }
        let there = self.there()?;
        let jobs: HashMap<u32, Job> = all.iter().map(|job| (job.index, *job)).collect();
        let mut sorted: Vec<_> = there.iter().collect();
        sorted.sort_unstable();
        for (index, path) in sorted {
            match jobs.get(index) {
                Some(job) => self.check_same(path, &self.parameters(*job))?,
                // Of a longer run: its settings must be the same all the same.
                None => self.check_same(path, &self.shared)?,
            }
        }
        Ok(own.iter().filter(|job| !there.contains_key(&job.index)).copied().collect())
    }

    /// Writes the picture of `job`, `suffix` after its name.
    pub(super) fn write(&self, job: Job, suffix: &str, picture: &Picture) -> Result<()> {
        let name = format!("{:06}-{}{suffix}.png", job.index, self.classes.file_name(job.label));
        let path = self.path.join(name);
        output::write_picture(&path, picture, &self.parameters(job), self.session)
    }

    fn parameters(&self, job: Job) -> Parameters {
        let mut parameters = self.shared.clone();
        parameters.insert("index".to_owned(), job.index.to_string());
        parameters.insert("class".to_owned(), self.classes.number(job.label).to_string());
        parameters.insert("class_name".to_owned(), self.classes.name(job.label));
        parameters
    }

    /// Pictures in the folder by their index.
    fn there(&self) -> Result<HashMap<u32, PathBuf>> {
        let unreadable = || format!("{}: cannot be read", self.path.display());
        let mut there = HashMap::new();
        for entry in fs::read_dir(self.path).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            if let Some(index) = path.file_name().and_then(|name| index(name.to_str()?)) {
                there.insert(index, path);
            }
        }
        Ok(there)
    }

    /// Refuses a picture that other settings made than those `wanted`.
    fn check_same(&self, path: &Path, wanted: &Parameters) -> Result<()> {
        let found = pictures::read_parameters(path)?;
        for (option, wants) in wanted {
            let has = found.get(option).map_or("nothing", |has| has);
            if has != wants {
                bail!(
                    "{}: was made with {option} {has}, wanted is {wants}; take another folder, \
                     or --force to overwrite",
                    path.display()
                );
            }
        }
        // An option that only some runs have, as --reject.
        let more = OPTIONAL
            .iter()
            .find(|option| found.contains_key(**option) && !wanted.contains_key(**option));
        if let Some(option) = more {
            bail!(
                "{}: was made with {option} {}, wanted is without; take another folder, or --force \
                 to overwrite",
                path.display(),
                found[*option]
            );
        }
        Ok(())
    }
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
