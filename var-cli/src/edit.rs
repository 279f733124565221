//! `var edit`: a part of an image made anew, the rest kept.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::{ArgGroup, Args};
use var_host::engine::ImageSpec;
use var_host::pipeline::edit::{Edit, overlay};
use var_host::pipeline::parameters::precision;
use var_kernel::edit::{self, Painting, Region};
use var_kernel::model::VqvaeConfig;

use crate::args::values::{self, LARGEST_BATCH};
use crate::args::{ModelOptions, PhotographOptions, SamplingOptions, Session, Usage};
use crate::classes::Classes;
use crate::output;
use crate::sample::{Drawing, ForcedTokens, Grid, batch_size};

/// Make a part of an image anew
///
/// The kept part is kept as tokens: the image goes through the VQVAE, so that it changes a little
/// everywhere; with --overlay not by what is drawn beside it.
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
    /// The kept part has the pixels of the image's reconstruction, to the byte
    #[arg(long)]
    overlay: bool,
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
    let marks = marks(options, config)?;
    let mut cells = vec![false; config.ladder.length()];
    edit::spread(&mut cells, &marks, &config.ladder);
    let jobs: Vec<ImageSpec> =
        (0..options.count).map(|index| ImageSpec { index: index.into(), label }).collect();
    options.sampling.check(&jobs, classes, session)?;
    let mut parameters = output::parameters("edit", &model);
    options.sampling.note(&mut parameters);
    parameters.insert("image".to_owned(), output::file_name(&options.image));
    parameters.insert("outpaint".to_owned(), options.outpaint.to_string());
    parameters.insert("overlay".to_owned(), options.overlay.to_string());
    if let Some(Region { top, left, bottom, right }) = options.region {
        parameters.insert("box".to_owned(), format!("{top},{left},{bottom},{right}"));
    }
    if let Some(mask) = &options.mask {
        parameters.insert("mask".to_owned(), output::file_name(mask));
    }
    parameters.insert("precision".to_owned(), precision(&engine));
    let size = (None, config.side());
    let grid = Grid::new(&options.output, &jobs, size, parameters, classes, session)?;

    if let Some(path) = &options.tokens {
        output::check_file(path, session)?;
    }

    let picture = options.photograph.load(&options.image, config.side())?;
    let tokens = engine.encode(&picture)?;
    let kept = options.overlay.then(|| engine.decode(&tokens, None)).transpose()?;
    let drawing = Drawing {
        sampling: options.sampling.sampling(),
        batch: batch_size(&engine, None, &jobs, options.sampling.cfg)?,
        kept: Some(ForcedTokens { images: vec![tokens], cells }),
        each_scale: None,
    };
    let (mut edited, mut maps) = (Vec::new(), Vec::new());
    drawing.draw(&mut engine, &jobs, session, &mut |sample| {
        edited.push(match &kept {
            Some(kept) => overlay(sample.picture, kept, &marks, config),
            None => sample.picture,
        });
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

/// Marks of the finest map's cells: 1 kept, 0 made anew.
fn marks(options: &Options, config: &VqvaeConfig) -> Result<Vec<f32>> {
    let painting = if options.outpaint { Painting::Out } else { Painting::In };
    let mask = options.mask.as_ref().map(|path| options.photograph.load(path, config.side()));
    let mask = mask.transpose()?;
    let edit = match (options.region, &mask) {
        (Some(region), _) => Edit::from(region),
        (None, Some(mask)) => Edit::with_mask(mask),
        (None, None) => unreachable!("clap requires one of the two"),
    };
    Edit { painting, ..edit }.marks(config).map_err(|_| nothing_anew(options, config))
}

/// The part is so small that no cell is left to make anew.
fn nothing_anew(options: &Options, config: &VqvaeConfig) -> anyhow::Error {
    let side = config.ladder.finest();
    let option = if options.region.is_some() { "--box" } else { "--mask" };
    anyhow!("{option}: nothing to make anew: none of the {side} × {side} cells lies in that part")
}
