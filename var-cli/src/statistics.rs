//! `var statistics`: a data set → the reference that samples are compared with.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use var_host::evaluate::{FEWEST, ImageSource, ObservedParts, write_statistics};
use var_host::images::RgbImage;
use var_host::npz::{NpyDtype, NpzWriter};
use var_host::plural;

use crate::args::{InceptionOptions, Session, values};
use crate::evaluate::{too_few, warn_of_few};
use crate::output;
use crate::run_folder::check_one_run;

/// Make the reference statistics of a data set
///
/// An archive as `var evaluate --reference` and other evaluators take it: `mu` and `sigma` of the
/// pooled features, `mu_s` and `sigma_s` of the spatial ones, over all images; and `arr_0`, some of
/// the images, for precision and recall.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A folder of images (PNG, JPEG, WebP, BMP, GIF, TIFF, Netpbm), in folders of their own or
    /// not, or an .npz archive with arr_0; EXIF's orientation is not applied
    #[arg(value_name = "DIR|NPZ")]
    pictures: PathBuf,
    /// The archive to write
    #[arg(long, short, value_name = "REF.npz")]
    output: PathBuf,
    /// How many images to store for precision and recall, taken evenly from all; 0 = none
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = values::whole(0..=usize::MAX))]
    images: usize,
    /// Take images of several runs of `var` together
    #[arg(long)]
    any_run: bool,
    #[command(flatten)]
    inception: InceptionOptions,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    output::check_file(&options.output, session)?;
    let side = options.inception.side(&[&options.pictures], session)?;
    let weights = options.inception.open()?;
    if !options.any_run {
        check_one_run(&options.pictures, session)?;
    }
    let pictures = ImageSource::open(&options.pictures, side)?;
    let (count, (width, height)) = (pictures.count(), pictures.size());
    if count < FEWEST {
        return Err(too_few(&options.pictures, count));
    }
    let mut observer = session.observer(&weights)?;
    let mut writer = NpzWriter::create(&options.output, session.force)?;
    let stored = options.images.min(count);
    if stored > 0 {
        writer.begin("arr_0", NpyDtype::U8, &[stored, height, width, 3])?;
    }
    let mut progress = session.progress(count, "image");
    warn_of_few(&progress, &options.pictures, count);
    let mut each = |done: usize, picture: &RgbImage| -> Result<()> {
        // Image n is stored where ⌊n · stored / count⌋ goes up.
        if done * stored / count > (done - 1) * stored / count {
            writer.write(picture.rgb())?;
        }
        progress.advance(1);
        Ok(())
    };
    let known = observer.observe(&pictures, ObservedParts::Statistics, &mut each)?;
    drop(progress);
    write_statistics(&mut writer, &observer.statistics(&known)?)?;
    writer.finish()?;
    let path = options.output.display();
    session.say(&format!(
        "{path}: statistics of {}, {stored} of them stored",
        plural::count(count, "image")
    ))
}
