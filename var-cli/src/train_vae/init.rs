//! `--init-from`: the checkpoint or the model that a run begins with.

use std::path::Path;

use anyhow::{Context, Result};
use var_host::checkpoint::Checkpoint;
use var_host::model::{Hints, Weights};
use var_host::train::init_from::check_vqvae_sizes;
use var_host::train::vae::VqvaeTrainer;
use var_host::train::{Storage, state};

use super::Options;

/// Gives `trainer` the state in a VQVAE's checkpoint at `path`, or the weights in a model or a
/// transformer's checkpoint.
///
/// # Errors
/// If it is of other sizes or holds no VQVAE.
pub(super) fn begin_with<S: Storage>(
    path: &Path,
    options: &Options,
    device: &S::Device<'_>,
    trainer: &mut VqvaeTrainer<S>,
) -> Result<()> {
    let no_verify = options.init.verify.no_verify;
    let checkpoint = Checkpoint::open_whole(path)?;
    // A transformer's checkpoint holds a VQVAE as a model does: without a state of its training.
    let of_transformer = checkpoint.tensors().any(|tensor| tensor.name.starts_with("var."));
    if state::is_in(&checkpoint) && !of_transformer {
        if !no_verify {
            checkpoint.verify_if_ours().with_context(|| path.display().to_string())?;
        }
        state::restore::<S>(device, trainer.state(), &checkpoint, path)?;
        return Ok(());
    }
    let hints = Hints { ladder: Some(trainer.config.ladder), no_verify, ..Hints::default() };
    let model = Weights::open_halves(None, Some(path), &hints)?;
    let (part, config) = model.vqvae.as_ref().expect("the half that was asked for");
    check_vqvae_sizes(&trainer.config, config).with_context(|| path.display().to_string())?;
    let weights = trainer.parameters.layout.flatten(part);
    trainer.set_weights(device, weights)?;
    Ok(())
}
