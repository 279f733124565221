//! Overwriting, and the parameters in an image.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use var_host::atomic_file::AtomicFile;
use var_host::images::{self, Parameters, RgbImage};
use var_host::model::Weights;
use var_host::pipeline::parameters;
use var_host::tokens::TokenFile;
use var_kernel::model::Ladder;

use crate::args::{Model, Session, Usage};
use crate::chart::{self, Figure};
use crate::identity;

/// The parameter that says an image was made by this program, and which command made it.
const MADE_BY: [&str; 2] = ["Software", "command"];

/// The parameters that all images of a command have: which model made them, too.
pub(crate) fn parameters(command: &str, model: &Model) -> Parameters {
    parameters::of_model(command, &model.name, &model.weights)
}

/// Whether an image may be replaced: asked for, or made by this very command.
fn is_ours(path: &Path, command: Option<&String>) -> bool {
    images::read_parameters(path).is_ok_and(|found| {
        found.get(MADE_BY[0]).is_some_and(|software| software == "var")
            && found.get(MADE_BY[1]) == command
    })
}

/// Refuses an image's path that cannot be written or must not be overwritten, before the work.
pub(crate) fn check_image(path: &Path, parameters: &Parameters, session: &Session) -> Result<()> {
    let overwrite = session.force || is_ours(path, parameters.get(MADE_BY[1]));
    check_file_overwriting(path, overwrite)
}

/// Refuses a path that cannot be written, or that is there already, before the work.
pub(crate) fn check_file(path: &Path, session: &Session) -> Result<()> {
    if is_image_name(path) {
        let text =
            format!("{}: is the name of an image, another file is to be written", path.display());
        return Err(Usage(text).into());
    }
    check_file_overwriting(path, session.force)
}

fn check_file_overwriting(path: &Path, overwrite: bool) -> Result<()> {
    if path.is_dir() {
        bail!("{}: is a folder, a file is to be written", path.display());
    }
    if !overwrite && fs::symlink_metadata(path).is_ok() {
        bail!("{}: exists already; --force overwrites it", path.display());
    }
    // Made and dropped: leaves nothing, and finds a missing or read-only folder.
    AtomicFile::create(path, true)?;
    Ok(())
}

/// Writes an image where [`check_image`] allows it.
pub(crate) fn write_image(
    path: &Path,
    picture: &RgbImage,
    parameters: &Parameters,
    session: &Session,
) -> Result<()> {
    let overwrite = session.force || is_ours(path, parameters.get(MADE_BY[1]));
    Ok(images::write_png(path, picture, parameters, overwrite)?)
}

/// Refuses a chart's path as [`check_image`] does, or one that does not end in .svg or .png.
pub(crate) fn check_chart(path: &Path, parameters: &Parameters, session: &Session) -> Result<()> {
    match ChartFormat::of(path)? {
        ChartFormat::Png => check_image(path, parameters, session),
        ChartFormat::Svg => check_file_overwriting(path, session.force || is_our_svg(path)),
    }
}

/// Writes a chart where [`check_chart`] allows it.
pub(crate) fn write_chart(
    path: &Path,
    figure: &Figure,
    parameters: &Parameters,
    session: &Session,
) -> Result<()> {
    match ChartFormat::of(path)? {
        ChartFormat::Png => write_image(path, &figure.picture()?, parameters, session),
        ChartFormat::Svg => {
            let text = figure.svg()?;
            let mut file = AtomicFile::create(path, session.force || is_our_svg(path))?;
            let cannot_write = || format!("cannot write {}", path.display());
            file.write_all(text.as_bytes()).with_context(cannot_write)?;
            Ok(file.commit()?)
        }
    }
}

/// How a chart is stored.
enum ChartFormat {
    Svg,
    Png,
}

impl ChartFormat {
    fn of(path: &Path) -> Result<Self> {
        let end = path.extension().unwrap_or_default();
        if end.eq_ignore_ascii_case("svg") {
            Ok(Self::Svg)
        } else if end.eq_ignore_ascii_case("png") {
            Ok(Self::Png)
        } else {
            let text = format!("-o {}: wants a .svg or .png file", path.display());
            Err(Usage(text).into())
        }
    }
}

/// Whether an SVG file says that it was drawn by this program.
fn is_our_svg(path: &Path) -> bool {
    let length = chart::MADE_BY.len();
    let end = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-(length as i64)))?;
        let mut end = vec![0; length];
        file.read_exact(&mut end)?;
        Ok(end)
    };
    end().is_ok_and(|end| end == chart::MADE_BY.as_bytes())
}

/// Whether `path` names a folder, there already or by a slash at its end; else it must be a .png file.
pub(crate) fn is_folder(path: &Path) -> Result<bool> {
    let slash = path.as_os_str().as_encoded_bytes().last().is_some_and(|byte| *byte == b'/');
    if slash || path.is_dir() {
        return Ok(true);
    }
    if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("png")) {
        return Ok(false);
    }
    let text =
        format!("-o {}: wants a .png file, or a folder with a slash at the end", path.display());
    Err(Usage(text).into())
}

/// Whether `path` names a .png file for images as one; else it is a folder for a file each, whether
/// there already or not.
pub(crate) fn is_one_image(path: &Path) -> Result<bool> {
    Ok(is_image_name(path) && !is_folder(path)?)
}

/// Whether a file of this name is taken for an image.
fn is_image_name(path: &Path) -> bool {
    let end = path.extension().unwrap_or_default();
    let known = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "ppm", "svg"];
    known.iter().any(|known| end.eq_ignore_ascii_case(known))
}

/// A file's name without its folders.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Makes a folder for images, unless it is there.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("{}: cannot be made a folder", path.display()))
}

/// Writes token maps of `weights`' VQVAE, those of one image after the other, with labels where they are
/// known.
pub(crate) fn write_tokens(
    path: &Path,
    weights: &Weights,
    ladder: &Ladder,
    images: Vec<Vec<u32>>,
    labels: Option<Vec<i32>>,
    session: &Session,
) -> Result<()> {
    let sides = ladder.sides().iter().map(|side| *side as u32).collect();
    let tokens = images.into_iter().flatten().map(|token| token as i32).collect();
    let file = TokenFile::new(sides, tokens, labels).made_by(identity::of_vqvae(weights));
    Ok(file.save(path, session.force)?)
}

/// Reads token maps made on `ladder` with a codebook of `codes`, by the VQVAE of `weights`.
pub(crate) fn read_tokens(
    path: &Path,
    weights: &Weights,
    ladder: &Ladder,
    codes: usize,
    session: &Session,
) -> Result<TokenFile> {
    let file = TokenFile::open(path)?;
    let sides: Vec<usize> = file.ladder().iter().map(|side| *side as usize).collect();
    if sides != ladder.sides() {
        let has: Vec<String> = sides.iter().map(usize::to_string).collect();
        bail!("{}: made on ladder {}, the model has {ladder}", path.display(), has.join("_"));
    }
    file.check(codes).with_context(|| path.display().to_string())?;
    let line = identity::check_tokens(path, file.vqvae(), identity::of_vqvae(weights))?;
    line.iter().for_each(|line| session.warn(line));
    Ok(file)
}

/// The token maps of each image in a file that [`read_tokens`] has checked.
pub(crate) fn images(file: &TokenFile) -> Vec<Vec<u32>> {
    let rows = file.tokens().chunks_exact(file.tokens_per_image());
    rows.map(|row| row.iter().map(|token| *token as u32).collect()).collect()
}
