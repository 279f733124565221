//! `var pack`: a folder of images → one archive.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use var_host::evaluate::ImageSource;
use var_host::npz::{NpyDtype, NpzWriter};
use var_host::plural::count;

use crate::args::{Session, values};
use crate::run_folder::check_one_run;
use crate::{memory, output};

/// Pack a folder of images into one .npz archive
///
/// `arr_0`, bytes of N × height × width × 3, in the order of the images' names: what evaluators of
/// class-conditional models take. The archive's comment has the settings of the run that made them and
/// the digest of its model, as JSON.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A folder of images (PNG, JPEG, WebP, BMP, GIF, TIFF, Netpbm) of one size, in folders of
    /// their own or not; EXIF's orientation is not applied
    #[arg(value_name = "DIR")]
    pictures: PathBuf,
    /// The archive to write
    #[arg(long, short, value_name = "FILE.npz")]
    output: PathBuf,
    /// Resize the shorter side of each image to so many pixels and cut out the middle
    /// [default: they are of one size]
    #[arg(long, value_name = "PIXELS", value_parser = values::whole(1_u16..=16384))]
    side: Option<u16>,
    /// Pack images of several runs of `var` together
    #[arg(long)]
    any_run: bool,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    output::check_file(&options.output, session)?;
    let run = match options.any_run {
        true => None,
        false => check_one_run(&options.pictures, session)?,
    };
    let pictures = ImageSource::open(&options.pictures, options.side.map(usize::from))?;
    let (images, (width, height)) = (pictures.count(), pictures.size());
    let mut writer = NpzWriter::create(&options.output, session.force)?;
    writer.begin("arr_0", NpyDtype::U8, &[images, height, width, 3])?;
    let mut progress = session.progress(images, "image");
    for picture in pictures.stream(session.threads)? {
        writer.write(picture?.rgb())?;
        progress.advance(1);
    }
    drop(progress);
    if let Some(settings) = run {
        writer.comment(&serde_json::to_string(&settings)?)?;
    }
    writer.finish()?;
    let size = fs::metadata(&options.output).map_or(0, |found| found.len());
    let (path, size) = (options.output.display(), memory::text(size));
    let images = count(images, "image");
    session.say(&format!("{path}: {images} of {width} × {height}, {size}"))
}
