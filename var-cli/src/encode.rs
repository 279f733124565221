//! `var encode`: images → tokens.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use var_host::plural::count;

use crate::args::{ModelOptions, PhotographOptions, Session};
use crate::output;

/// Turn images into tokens
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Images (PNG, JPEG, WebP, BMP, GIF, TIFF, Netpbm): turned as EXIF says, the shorter side
    /// resized to the model's, the middle cut out
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// The tokens file to write: safetensors with `tokens` i32 [N, L]
    #[arg(long, short, value_name = "TOKENS")]
    output: PathBuf,
    #[command(flatten)]
    photograph: PhotographOptions,
    #[command(flatten)]
    model: ModelOptions,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    output::check_file(&options.output, session)?;
    let model = options.model.open_vqvae(session)?;
    let mut engine = session.engine(&model.weights)?;
    let config = engine.vqvae()?;
    let mut progress = session.progress(options.images.len(), "image");
    let mut maps = Vec::new();
    for path in &options.images {
        maps.push(engine.encode(&options.photograph.load(path, config.side())?)?);
        progress.advance(1);
    }
    drop(progress);
    output::write_tokens(&options.output, &model.weights, &config.ladder, maps, None, session)?;
    let images = count(options.images.len(), "image");
    let tokens = count(config.ladder.length(), "token");
    session.say(&format!("{}: {images} of {tokens}", options.output.display()))
}
