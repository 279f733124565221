//! `var edit`: a part of an image made anew, the rest kept.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{ArgGroup, Args};
use var_host::engine::ImageSpec;
use var_host::images::RgbImage;
use var_kernel::edit::{self, Painting, Region};
use var_kernel::model::{Ladder, VqvaeConfig};

use crate::args::values::{self, LARGEST_BATCH};
use crate::args::{ModelOptions, PhotographOptions, SamplingOptions, Session, Usage};
use crate::classes::Classes;
use crate::output;
use crate::sample::{Drawing, ForcedTokens, Grid, batch_size};

/// Make a part of an image anew
///
/// The kept part is kept as tokens: the image goes through the VQVAE, so that it changes a little
/// everywhere.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("part").required(true).args(["region", "mask"]))]
pub(crate) struct Options {
    /// The image (PNG, JPEG, WebP, BMP, GIF, TIFF, Netpbm): turned as EXIF says, the shorter side
    /// resized to the model's, the middle cut out
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The part to make anew, as fractions 0 to 1 of the image's height and width
    #[arg(long = "box", id = "region", value_name = "Y0,X0,Y1,X1", value_parser = values::region)]
    region: Option<Region>,
    /// An image that is white where to make anew, black where to keep; turned, resized and cut out
    /// as the image is
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    /// Make the rest anew and keep that part
    #[arg(long)]
    outpaint: bool,
    /// Class to draw, by number or name [default: none]
    #[arg(long, value_name = "CLASS", allow_hyphen_values = true)]
    class: Option<String>,
    /// How many versions, in one image
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = values::whole(1_u16..=LARGEST_BATCH))]
    count: u16,
    /// The image to write
    #[arg(long, short, value_name = "FILE", default_value = "edited.png")]
    output: PathBuf,
    /// Also save the token maps in this file
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    #[command(flatten)]
    photograph: PhotographOptions,
    #[command(flatten)]
    sampling: SamplingOptions,
    #[command(flatten)]
    model: ModelOptions,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let model = options.model.open_whole(session)?;
    let mut engine = session.engine(&model.weights)?;
    let classes = Classes::of(&engine, &model, session)?;
    let label = match &options.class {
        None => classes.null(),
        Some(text) => match classes.parse("--class", text, session)?[..] {
            [label] => label,
            ref labels => bail!("--class {text}: wants one class, got {}", labels.len()),
        },
    };
    if output::is_folder(&options.output)? {
        let text = format!("-o {}: wants a .png file", options.output.display());
        return Err(Usage(text).into());
    }
    let config = engine.vqvae()?;
    let cells = kept_cells(options, config)?;
    let jobs: Vec<ImageSpec> =
        (0..options.count).map(|index| ImageSpec { index: index.into(), label }).collect();
    options.sampling.check(&jobs, classes, session)?;
    let mut parameters = output::parameters("edit", &model);
    options.sampling.note(&mut parameters);
    parameters.insert("image".to_owned(), output::file_name(&options.image));
    parameters.insert("outpaint".to_owned(), options.outpaint.to_string());
    if let Some(Region { top, left, bottom, right }) = options.region {
        parameters.insert("box".to_owned(), format!("{top},{left},{bottom},{right}"));
    }
    if let Some(mask) = &options.mask {
        parameters.insert("mask".to_owned(), output::file_name(mask));
    }
    let size = (None, config.side());
    let grid = Grid::new(&options.output, &jobs, size, parameters, classes, session)?;

    if let Some(path) = &options.tokens {
        output::check_file(path, session)?;
    }

    let picture = options.photograph.load(&options.image, config.side())?;
    let drawing = Drawing {
        sampling: options.sampling.sampling(),
        batch: batch_size(&engine, None, &jobs, options.sampling.cfg)?,
        kept: Some(ForcedTokens { images: vec![engine.encode(&picture)?], cells }),
        each_scale: None,
    };
    let (mut edited, mut maps) = (Vec::new(), Vec::new());
    drawing.draw(&mut engine, &jobs, session, &mut |sample| {
        edited.push(sample.picture);
        maps.push(sample.tokens);
        Ok(())
    })?;
    grid.write(&edited, session)?;
    if let Some(path) = &options.tokens {
        let labels = vec![classes.number(label); maps.len()];
        output::write_tokens(path, &model.weights, &config.ladder, maps, Some(labels), session)?;
    }
    Ok(())
}

/// Which cells of every scale are kept.
fn kept_cells(options: &Options, config: &VqvaeConfig) -> Result<Vec<bool>> {
    let ladder = &config.ladder;
    let mut finest = vec![0.0; ladder.cells(ladder.scales() - 1)];
    match (options.region, &options.mask) {
        (Some(region), _) => {
            let painting = if options.outpaint { Painting::Out } else { Painting::In };
            edit::mark(&mut finest, ladder, region, painting);
        }
        (None, Some(path)) => read_mask(path, config, options, &mut finest)?,
        (None, None) => unreachable!("clap requires one of the two"),
    }
    check_some_anew(&finest, ladder, options)?;
    let mut cells = vec![false; ladder.length()];
    edit::spread(&mut cells, &finest, ladder);
    Ok(cells)
}

/// Marks the cells that are at most half white as kept; with `--outpaint`, the others.
fn read_mask(
    path: &Path,
    config: &VqvaeConfig,
    options: &Options,
    finest: &mut [f32],
) -> Result<()> {
    let mask = options.photograph.load(path, config.side())?;
    for (cell, mark) in finest.iter_mut().enumerate() {
        let is_white = whiteness(&mask, cell, config) > 0.5;
        *mark = if is_white == options.outpaint { 1.0 } else { 0.0 };
    }
    Ok(())
}

/// The mean of the mask over a cell of the finest map, 0 to 1.
fn whiteness(mask: &RgbImage, cell: usize, config: &VqvaeConfig) -> f64 {
    let (cells, pixels) = (config.ladder.finest(), config.downsampling());
    let (top, left) = (cell / cells * pixels, cell % cells * pixels);
    let row = |y: usize| &mask.rgb()[3 * (y * mask.width() + left)..][..3 * pixels];
    let sum: u64 = (top..top + pixels).flat_map(row).map(|byte| u64::from(*byte)).sum();
    sum as f64 / (255 * 3 * pixels * pixels) as f64
}

/// Refuses a part so small that no cell is left to make anew.
fn check_some_anew(finest: &[f32], ladder: &Ladder, options: &Options) -> Result<()> {
    if finest.contains(&0.0) {
        return Ok(());
    }
    let (option, side) =
        (if options.region.is_some() { "--box" } else { "--mask" }, ladder.finest());
    bail!("{option}: nothing to make anew: none of the {side} × {side} cells lies in that part");
}
