//! Whether two files come from one VQVAE.

use std::path::Path;

use anyhow::{Result, bail};
use var_host::model::{Identity, Weights};

/// The VQVAE's identity.
///
/// # Panics
/// If the weights have no VQVAE.
#[track_caller]
pub(crate) fn of_vqvae(weights: &Weights) -> Identity {
    weights.identities()[1].expect("a model with a VQVAE")
}

/// Refuses the tokens at `path` if another VQVAE made them than that of `weights`; returns the line to
/// tell where that is not known, or where the VQVAE was one of another precision.
pub(crate) fn check_tokens(
    path: &Path,
    made_by: Option<Identity>,
    weights: &Weights,
) -> Result<Option<String>> {
    let (vqvae, path) = (of_vqvae(weights), path.display());
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

/// Tells a line that [`check_tokens`] returns.
pub(crate) fn warn(line: Option<String>) {
    if let Some(line) = line {
        eprintln!("var: {line}");
    }
}
