//! Which model: a model file, published checkpoints, or the built-in one.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use var_host::model::{Hints, Weights};
use var_kernel::model::Ladder;

use super::{Session, Usage, VerifyOptions, values};
use crate::built_in;

/// The option that takes the built-in VQVAE, for messages.
pub(crate) const BUILT_IN_VQVAE: &str =
    "; --vae built-in takes that of the built-in model, which knows 64 × 64 images of emoji";

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelOptions {
    /// Model file made by `var convert`, or `built-in` [default: the built-in model]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["var", "vae"])]
    pub(crate) model: Option<PathBuf>,
    /// Checkpoint of the transformer (.pth, .pt, .safetensors) as published or as a trainer saved it
    #[arg(long, value_name = "FILE")]
    pub(crate) var: Option<PathBuf>,
    /// Checkpoint of the VQVAE, or `built-in`
    #[arg(long, value_name = "FILE")]
    pub(crate) vae: Option<PathBuf>,
    /// Sides of the token maps, where the files do not say: 256, 512, 1024 or 1_2_3_4
    #[arg(long, value_parser = values::ladder)]
    pub(crate) ladder: Option<Ladder>,
    /// Attention heads, where the files do not say [default: width / 64]
    #[arg(long, value_name = "N", value_parser = heads)]
    pub(crate) heads: Option<usize>,
    #[command(flatten)]
    pub(crate) verify: VerifyOptions,
    /// The part of a checkpoint that holds several models, such as ema beside model: a name before its
    /// tensors' names
    #[arg(id = "model_part", long = "part", value_name = "NAME")]
    pub(crate) part: Option<String>,
}

/// A model and its name in output.
pub(crate) struct Model {
    pub(crate) weights: Weights,
    /// Names of its files without folders, or `built-in`.
    pub(crate) name: String,
}

impl ModelOptions {
    /// Opens the files named, or the built-in model, and checks that it has both halves.
    pub(crate) fn open_whole(&self, session: &Session) -> Result<Model> {
        let model = self.open_vqvae(session)?;
        if model.weights.transformer.is_none() {
            bail!("{}: has no transformer: give --var too", model.name);
        }
        Ok(model)
    }

    /// Opens the files named, or the built-in model, and checks that it has a VQVAE.
    pub(crate) fn open_vqvae(&self, session: &Session) -> Result<Model> {
        let model = self.open(session)?;
        if model.weights.vqvae.is_none() {
            bail!("{}: has no VQVAE: give --vae too", model.name);
        }
        Ok(model)
    }

    /// Opens the files named and checks that there is a VQVAE. For training data: the built-in model is
    /// taken only where it is named.
    pub(crate) fn open_named_vqvae(&self, session: &Session) -> Result<Model> {
        if self.model.is_none() && self.vae.is_none() {
            return Err(Usage(format!("give --vae FILE or --model FILE{BUILT_IN_VQVAE}")).into());
        }
        self.open_vqvae(session)
    }

    /// The files named, other than the built-in model.
    #[cfg(feature = "serve")]
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let named = [&self.model, &self.var, &self.vae].into_iter().flatten();
        named.filter(|path| !built_in::is_named(path)).cloned().collect()
    }

    /// Opens the files named, or the built-in model, and prints the notes on the files.
    pub(crate) fn open(&self, session: &Session) -> Result<Model> {
        let Self { model, var, vae, ladder, heads, verify, part } = self;
        let files: Vec<&Path> = [model, var, vae].into_iter().flatten().map(|p| &**p).collect();
        if var.is_some() && vae.as_deref().is_some_and(built_in::is_named) {
            let text = "--vae built-in goes without --var: no other transformer knows its codes";
            return Err(Usage(text.to_owned()).into());
        }
        if files.iter().all(|file| built_in::is_named(file)) {
            let weights = built_in::open()?;
            self.check_built_in(&weights)?;
            let weights = if vae.is_some() { built_in::vqvae_of(weights) } else { weights };
            return Ok(Model { weights, name: built_in::NAME.to_owned() });
        }
        let names = files.iter().filter_map(|path| path.file_name());
        let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
        let (ladder, heads, no_verify) = (*ladder, *heads, verify.no_verify);
        let hints = Hints { ladder, heads, no_verify, part: part.clone() };
        let weights = match model {
            Some(path) => Weights::open(path, &hints)?,
            None => Weights::open_halves(var.as_deref(), vae.as_deref(), &hints)?,
        };
        session.note(&weights.notes);
        Ok(Model { weights, name: names.join(" + ") })
    }

    /// Checks that nothing else is said of the built-in model than it is.
    fn check_built_in(&self, weights: &Weights) -> Result<()> {
        let config = weights.transformer.as_ref().map(|(_, config)| config);
        let ladder = config.map(|config| config.ladder);
        let heads = config.map(|config| config.heads);
        let option = if self.ladder.is_some() && self.ladder != ladder {
            "--ladder"
        } else if self.heads.is_some() && self.heads != heads {
            "--heads"
        } else if self.part.is_some() {
            "--part"
        } else {
            return Ok(());
        };
        let text =
            format!("{option} goes with --model, --var or --vae: the built-in model has its own");
        Err(Usage(text).into())
    }
}

fn heads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(heads @ 1..=65536) => Ok(heads),
        _ => Err(format!("{text} is not in 1..=65536")),
    }
}
