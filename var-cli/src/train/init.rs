//! `--init-from`: the model that a run begins with.

use std::path::Path;

use anyhow::{Context, Result, bail};
use var_host::model::classes::imagenet;
use var_host::model::{Hints, Identity, ModelError, Weights};
use var_host::plural::count;
use var_host::train::ParameterLayout;
use var_host::train::init_from::{ClassEmbeddingRows, ClassMatch, init_from};
use var_kernel::model::VarConfig;

use super::Options;
use super::opened::Opened;
use crate::args::Session;
use crate::identity;

/// The most new classes that are named.
const NAMED: usize = 5;

/// Copies the weights of the transformer at `path` to `weights`, and tells of the rows of its classes;
/// `first`: whether this is rank 0.
///
/// # Errors
/// If it is of other sizes, or was trained on the codes of another VQVAE, unless that is asked for.
pub(super) fn begin_with(
    path: &Path,
    options: &Options,
    opened: &Opened,
    config: &VarConfig,
    (weights, layout): (&mut [f32], &ParameterLayout),
    session: &Session,
    first: bool,
) -> Result<()> {
    let (file, other) = transformer(path, options, config)?;
    if let Some(line) = check_vqvae(path, &file, options, opened)?
        && first
    {
        session.warn(&line);
    }
    let names = &opened.given.class_names;
    let other_names = match file.class_names.is_empty() {
        true if other.classes == imagenet::CLASSES && imagenet::are_ids(names) => imagenet::ids(),
        _ => &file.class_names,
    };
    let rows =
        ClassEmbeddingRows::new((config.classes, names), (other.classes, other_names), path)?;
    let (part, _) = file.transformer.as_ref().expect("the half that was asked for");
    init_from(weights, layout, config, part, &other, &rows)
        .with_context(|| path.display().to_string())?;
    let is_all = rows.new_classes().next().is_none();
    session.given.refuse(&["ini"], is_all, "the weights are those of --init-from")?;
    match describe(&rows, names) {
        Some(line) if first => session.say(&line),
        _ => Ok(()),
    }
}

/// In words, how rows of the class embedding were found, unless all classes are the same.
fn describe(rows: &ClassEmbeddingRows, names: &[String]) -> Option<String> {
    let all = rows.rows.len() - 1;
    match rows.matched {
        ClassMatch::Positions => Some(
            "the class embedding is taken by position: of the data and the model to begin with only \
             one names its classes, or none"
                .to_owned(),
        ),
        ClassMatch::Nothing => Some(
            "the class embedding is new: the model to begin with has other classes".to_owned(),
        ),
        ClassMatch::Names if rows.rows.iter().enumerate().all(|(at, row)| *row == Some(at)) => None,
        ClassMatch::Names => {
            let new: Vec<String> = rows
                .new_classes()
                .map(|class| names.get(class).cloned().unwrap_or_else(|| class.to_string()))
                .collect();
            let mut named = new[..new.len().min(NAMED)].join(", ");
            if new.len() > NAMED {
                named += ", …";
            }
            let of = count(all, "class");
            let known = all - new.len();
            let new = if new.is_empty() { String::new() } else { format!(", new: {named}") };
            Some(format!("the class embedding is taken by name: {known} of {of}{new}"))
        }
    }
}

/// Refuses a transformer that was trained on another VQVAE than the run's, unless that is asked for;
/// returns the line to tell where that is not known.
fn check_vqvae(
    path: &Path,
    file: &Weights,
    options: &Options,
    opened: &Opened,
) -> Result<Option<String>> {
    if options.init.any_vae {
        return Ok(None);
    }
    let own = identity::of_vqvae(&opened.given);
    let path_shown = path.display();
    let Some(trained_on) = vqvae_of(path, file, options) else {
        return Ok(Some(format!(
            "{path_shown}: which VQVAE its transformer was trained on is not known: the file has no \
             digest of it"
        )));
    };
    if trained_on.has_source_of(&own) {
        return Ok(None);
    }
    bail!(
        "{path_shown}: its transformer was trained on VQVAE {}, the run's is {}: give that one by \
         --vae, or --any-vae to begin with these weights all the same",
        trained_on.digest.short(),
        own.digest.short()
    )
}

/// The VQVAE that the transformer in a file was trained on: as its metadata say, else the one beside it.
fn vqvae_of(path: &Path, file: &Weights, options: &Options) -> Option<Identity> {
    let (part, config) = file.transformer.as_ref()?;
    let metadata = part.checkpoint().metadata();
    // A digest that cannot be read says nothing.
    if let Ok(Some(identity)) = Identity::of_vqvae_in(|key| metadata.get(key)) {
        return Some(identity);
    }
    let hints = Hints {
        ladder: Some(config.ladder),
        heads: Some(config.heads),
        part: options.init.init_part.clone(),
        no_verify: true,
    };
    Weights::open(path, &hints).ok()?.identities()[1]
}

/// The transformer to begin with, in a model file or a published checkpoint; where that does not say its
/// ladder or heads, those of the run, `config`.
fn transformer(path: &Path, options: &Options, config: &VarConfig) -> Result<(Weights, VarConfig)> {
    let Options { size, init, files, .. } = options;
    let heads = size.heads.map(|heads| heads as usize);
    let open = |ladder| {
        let no_verify = files.verify.no_verify;
        let hints = Hints { ladder, heads, no_verify, part: init.init_part.clone() };
        Weights::open_halves(Some(path), None, &hints)
    };
    let mut weights = match open(size.pn) {
        Err(ModelError::NoLadder { .. }) => open(Some(config.ladder)),
        opened => opened,
    }?;
    weights.vqvae = None;
    let config = weights.transformer.as_ref().map(|(_, config)| *config);
    let config = config.expect("the half that was asked for");
    Ok((weights, config))
}
