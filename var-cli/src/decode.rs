//! `var decode`: tokens → pictures.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use var_host::pictures::Parameters;

use crate::args::{ModelOptions, Session};
use crate::output;

/// Turn tokens into pictures
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A tokens file, as `var encode` and `var sample --tokens` write it
    #[arg(value_name = "TOKENS")]
    tokens: PathBuf,
    /// The folder for the pictures, named by their index
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    model: ModelOptions,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let model = options.model.open_vqvae()?;
    let mut engine = session.engine(&model.weights)?;
    let config = engine.vqvae()?;
    let file = output::read_tokens(&options.tokens, &config.ladder, config.codes)?;
    let mut shared = output::parameters("decode", &model.name);
    shared.insert("tokens".to_owned(), output::file_name(&options.tokens));
    let parameters = |index: usize| {
        let mut parameters: Parameters = shared.clone();
        parameters.insert("index".to_owned(), index.to_string());
        if let Some(labels) = file.labels() {
            parameters.insert("class".to_owned(), labels[index].to_string());
        }
        parameters
    };
    let path = |index: usize| options.output.join(format!("{index:06}.png"));

    output::make_folder(&options.output)?;
    for index in 0..file.images() {
        output::check_picture(&path(index), &shared, session)?;
    }
    let mut progress = session.progress(file.images(), "images");
    for (index, tokens) in output::images(&file).iter().enumerate() {
        let picture = engine.decode(tokens, None)?;
        output::write_picture(&path(index), &picture, &parameters(index), session)?;
        progress.advance(1);
    }
    drop(progress);
    session.say(&format!("{}: {} images", options.output.display(), file.images()))
}
