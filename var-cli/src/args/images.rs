//! Images to look at, and the network that looks at them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use var_host::images::{Exif, Parameters, RgbImage, load_square};
use var_host::inception::Inception;

use super::{Session, Usage, values};

/// How one photograph is read, not a data set.
#[derive(Debug, Args)]
pub(crate) struct PhotographOptions {
    /// Leave images as they are stored; without, they are turned upright as EXIF's orientation
    /// says
    #[arg(long)]
    no_exif: bool,
}

impl PhotographOptions {
    /// Reads an image as the model takes it, `side × side`.
    pub(crate) fn load(&self, path: &Path, side: usize) -> Result<RgbImage> {
        Ok(load_square(path, side, self.exif())?)
    }

    /// Reads an image in its own size.
    pub(crate) fn open(&self, path: &Path) -> Result<RgbImage> {
        Ok(RgbImage::open_with(path, self.exif())?)
    }

    /// Adds how photographs are read to an image's parameters.
    pub(crate) fn note(&self, parameters: &mut Parameters) {
        let exif = if self.no_exif { "ignored" } else { "applied" };
        parameters.insert("exif".to_owned(), exif.to_owned());
    }

    fn exif(&self) -> Exif {
        if self.no_exif { Exif::Ignored } else { Exif::Applied }
    }
}

/// Advice where there are no weights.
const WHAT_TO_GET: &str = "the weights of Inception-v3 of December 2015 that FID is defined on: \
     pt_inception-2015-12-05-6726825d.pth, a release file of the project pytorch-fid, as it is or \
     made smaller and faster to open by `var convert --inception FILE -o OUT`";

#[derive(Debug, Args)]
pub(crate) struct InceptionOptions {
    /// Weights of Inception-v3 of December 2015, as published (.pth) or converted; they are never
    /// downloaded
    #[arg(long, value_name = "FILE")]
    inception: Option<PathBuf>,
    /// Resize the shorter side of each image in a folder to so many pixels and cut out the middle
    /// [default: they are of one size]
    #[arg(long, value_name = "PIXELS", value_parser = values::whole(1_u16..=16384))]
    side: Option<u16>,
}

impl InceptionOptions {
    /// Opens the weights.
    pub(crate) fn open(&self) -> Result<Inception> {
        let Some(path) = &self.inception else {
            return Err(Usage(format!("give --inception FILE: {WHAT_TO_GET}")).into());
        };
        open(path)
    }

    /// The side that the images of those of `sets` that are folders are brought to.
    ///
    /// # Errors
    /// [`Usage`] if a side was asked for and there is no folder: archives are taken as they are.
    pub(crate) fn side(&self, sets: &[&Path], session: &Session) -> Result<Option<usize>> {
        let archives = !sets.iter().any(|set| set.is_dir());
        session.given.refuse(
            &["side"],
            archives,
            "goes with a folder: archives are taken as they are",
        )?;
        Ok(self.side.map(usize::from))
    }
}

/// Opens weights, with advice where there are none.
fn open(path: &Path) -> Result<Inception> {
    let weights = Inception::open(path);
    if path.exists() {
        Ok(weights?)
    } else {
        weights.with_context(|| format!("wants {WHAT_TO_GET}"))
    }
}
