//! `var decode`: tokens → images.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use var_host::checkpoint::Digest;
use var_host::engine::Engine;
use var_host::images::{self, Parameters};
use var_host::plural::count;
use var_host::tokens::TokenFile;

use crate::args::{ModelOptions, Session};
use crate::sample::{PADDING, columns};
use crate::{output, run_folder};

/// Turn tokens into images
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A tokens file, as `var encode` and `var sample --tokens` write it
    #[arg(value_name = "TOKENS")]
    tokens: PathBuf,
    /// Where to: a folder for a file of each image, named by its index, and manifest.json, which says
    /// what made them; or a .png file for all as one. A folder of other images of `var` is refused;
    /// --force removes those that its manifest lists
    #[arg(long, short, value_name = "PATH")]
    output: PathBuf,
    #[command(flatten)]
    model: ModelOptions,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let model = options.model.open_vqvae(session)?;
    let mut engine = session.engine(&model.weights)?;
    let config = engine.vqvae()?;
    let file = output::read_tokens(
        &options.tokens,
        &model.weights,
        &config.ladder,
        config.codes,
        session,
    )?;
    let mut shared = output::parameters("decode", &model);
    shared.insert("tokens".to_owned(), output::file_name(&options.tokens));
    let tokens: Vec<u8> = file.tokens().iter().flat_map(|token| token.to_le_bytes()).collect();
    shared.insert("tokens_digest".to_owned(), Digest::of_bytes(&tokens).to_string());
    let parameters = |index: usize| {
        let mut parameters: Parameters = shared.clone();
        parameters.insert("index".to_owned(), index.to_string());
        if let Some(labels) = file.labels() {
            parameters.insert("class".to_owned(), labels[index].to_string());
        }
        parameters
    };
    if output::is_one_image(&options.output)? {
        return write_as_one(options, &file, &mut engine, shared, session);
    }
    let name = |index: usize| format!("{index:06}.png");
    let files = (0..file.images()).map(name).collect();
    // The folder stays locked until the last image is written.
    let _lock = run_folder::begin_files(&options.output, &shared, files, session)?;
    let mut progress = session.progress(file.images(), "image");
    for (index, tokens) in output::images(&file).iter().enumerate() {
        let picture = engine.decode(tokens, None)?;
        let path = options.output.join(name(index));
        output::write_image(&path, &picture, &parameters(index), session)?;
        progress.advance(1);
    }
    drop(progress);
    session.say(&format!("{}: {}", options.output.display(), count(file.images(), "image")))
}

/// Writes all images of `file` as one.
fn write_as_one(
    options: &Options,
    file: &TokenFile,
    engine: &mut Engine<'_>,
    mut parameters: Parameters,
    session: &Session,
) -> Result<()> {
    let path = &options.output;
    let images = count(file.images(), "image");
    if file.images() == 0 {
        bail!("{}: has no images", options.tokens.display());
    }
    let columns = columns(file.images(), engine.vqvae()?.side(), None)?;
    parameters.insert("index".to_owned(), format!("0..{}", file.images()));
    output::check_image(path, &parameters, session)?;
    let mut progress = session.progress(file.images(), "image");
    let mut decoded = Vec::new();
    for tokens in output::images(file) {
        decoded.push(engine.decode(&tokens, None)?);
        progress.advance(1);
    }
    drop(progress);
    output::write_image(path, &images::grid(&decoded, columns, PADDING)?, &parameters, session)?;
    session.say(&format!("{}: {images}", path.display()))
}
