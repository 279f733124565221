//! Whether two files come from one VQVAE.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Map, Value};
use var_host::model::{Identity, Weights};
use var_host::run;

use crate::args::Session;

/// The VQVAE's identity.
///
/// # Panics
/// If the weights have no VQVAE.
#[track_caller]
pub(crate) fn of_vqvae(weights: &Weights) -> Identity {
    weights.identities()[1].expect("a model with a VQVAE")
}

/// Refuses the tokens at `path` if another VQVAE made them than `vqvae`; returns the line to
/// tell where that is not known, or where the VQVAE was one of another precision.
pub(crate) fn check_tokens(
    path: &Path,
    made_by: Option<Identity>,
    vqvae: Identity,
) -> Result<Option<String>> {
    let path = path.display();
    let Some(made_by) = made_by else {
        return Ok(Some(format!(
            "{path}: which VQVAE made these tokens is not known: the file has no digest of it"
        )));
    };
    if made_by.digest == vqvae.digest {
        return Ok(None);
    }
    let (made, here) = (made_by.digest.short(), vqvae.digest.short());
    if made_by.has_source_of(&vqvae) {
        let source = vqvae.source.short();
        return Ok(Some(format!(
            "{path}: made by VQVAE {made}, here it is {here}: both are {source}, in two precisions, \
             and a few tokens may differ"
        )));
    }
    bail!(
        "{path}: made by VQVAE {made}, here it is {here}: give the VQVAE that made them, or make them \
         anew with this one"
    )
}

/// Says of which files a run in `folder` that goes on has no digests, as it was begun before runs had
/// them.
pub(crate) fn tell_unknown_digests(
    folder: &Path,
    options: &Map<String, Value>,
    session: &Session,
) -> Result<()> {
    let Some(run::Options(was)) = run::Options::read(folder)? else { return Ok(()) };
    let digests = options.keys().filter_map(|name| Some((name, run::option_of_digest(name)?)));
    let unknown = digests.filter(|(name, _)| !was.contains_key(*name));
    let unknown: BTreeSet<String> = unknown.map(|(_, option)| format!("--{option}")).collect();
    if !unknown.is_empty() {
        let unknown = Vec::from_iter(unknown).join(", ");
        let folder = folder.display();
        session.warn(&format!(
            "{folder}: whether the files of {unknown} are those it was begun with is not known"
        ));
    }
    Ok(())
}
