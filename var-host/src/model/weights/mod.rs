//! A transformer, a VQVAE or both, from the files they are in.

use std::path::Path;
use std::sync::Arc;

use var_kernel::cpu::Cpu;
use var_kernel::dry::Dry;
use var_kernel::model::{VarConfig, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;

use super::assemble::{TransformerLayers, VqvaeLayers};
use super::detect::{self, Hints};
use super::listing::{Listing, Wanted};
use super::part::{MARKS, PREFIXES};
use super::settings::Settings;
use super::{ModelError, Part};
use crate::checkpoint::Checkpoint;

/// A transformer, a VQVAE or both, with their configurations.
pub struct Weights {
    /// The transformer.
    pub transformer: Option<(Part, VarConfig)>,
    /// The VQVAE.
    pub vqvae: Option<(Part, VqvaeConfig)>,
    /// Names of the classes, where the file has them.
    pub class_names: Vec<String>,
    /// Whether the number of heads is only the published rule (width / 64), for the user to know.
    pub heads_assumed: bool,
}

impl Weights {
    /// The model file at `path`.
    ///
    /// # Errors
    /// If it cannot be read or holds neither half, or what it holds is no model.
    pub fn open(path: &Path, hints: Hints) -> Result<Self, ModelError> {
        Self::of(Checkpoint::open(path)?, path.display().to_string(), hints)
    }

    /// The model file embedded in the program.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn built_in(bytes: &'static [u8]) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::from_static(bytes).map_err(ModelError::BuiltIn)?;
        Self::of(checkpoint, "the built-in model".to_owned(), Hints::default())
    }

    /// Published checkpoints, or the trainer's, as they are.
    ///
    /// # Errors
    /// If a file cannot be read, does not hold the half it is given for, or the halves do not belong
    /// together.
    pub fn open_halves(
        var: Option<&Path>,
        vae: Option<&Path>,
        hints: Hints,
    ) -> Result<Self, ModelError> {
        let open = |path: &Path, half: usize| {
            let file = path.display().to_string();
            let checkpoint = Arc::new(Checkpoint::open(path)?);
            let verified = verify(&checkpoint, &file, hints)?;
            Part::find(&checkpoint, &file, half)?
                .map(|part| part.verified(verified))
                .ok_or(ModelError::NoPart { file, part: MARKS[half].0, wants: MARKS[half].1 })
        };
        let var = var.map(|path| open(path, 0)).transpose()?;
        let vae = vae.map(|path| open(path, 1)).transpose()?;
        Self::new(var, vae, hints)
    }

    /// What is in an open checkpoint, called `file` in messages.
    ///
    /// # Errors
    /// If it holds neither half, or what it holds is no model.
    pub fn of(checkpoint: Checkpoint, file: String, hints: Hints) -> Result<Self, ModelError> {
        let checkpoint = Arc::new(checkpoint);
        let verified = verify(&checkpoint, &file, hints)?;
        let find = |half| -> Result<Option<Part>, ModelError> {
            Ok(Part::find(&checkpoint, &file, half)?.map(|part| part.verified(verified)))
        };
        let (var, vae) = (find(0)?, find(1)?);
        let neither = var.is_none() && vae.is_none();
        for (half, found) in [&var, &vae].into_iter().enumerate() {
            let remains = || checkpoint.tensors().any(|t| t.name.starts_with(PREFIXES[half]));
            if found.is_none() && (neither || remains()) {
                let (part, wants) = MARKS[half];
                return Err(ModelError::NoPart { file, part, wants });
            }
        }
        Self::new(var, vae, hints)
    }

    fn new(var: Option<Part>, vae: Option<Part>, hints: Hints) -> Result<Self, ModelError> {
        let mut settings = Settings::default();
        for part in var.iter().chain(&vae) {
            if let Some(found) = Settings::read(part.file(), part.checkpoint().metadata())? {
                settings = found;
            }
        }
        let hints = Hints {
            ladder: hints.ladder.or(settings.ladder()),
            heads: hints.heads.or(settings.var.as_ref().map(|var| var.heads)),
            ..hints
        };
        let mut heads_assumed = false;
        let transformer = match var {
            None => None,
            Some(mut part) => {
                let (config, assumed) = detect::transformer(&part, hints)?;
                heads_assumed = assumed;
                part.prepare(&transformer_tensors(config))?;
                Some((part, config))
            }
        };
        let vqvae = match vae {
            None => None,
            Some(mut part) => {
                let ladder = transformer.as_ref().map(|(_, config)| config.ladder).or(hints.ladder);
                let no_ladder = || ModelError::NoLadder { file: part.file().to_owned(), length: 0 };
                let mut config = detect::vqvae(&part, ladder.ok_or_else(no_ladder)?)?;
                if let Some(vae) = &settings.vae {
                    if vae.unit_length_codes {
                        config.distance = Distance::Angle;
                    }
                    if config.refinement_ratio != 0.0 {
                        config.refinement_ratio = vae.refinement_ratio;
                    }
                }
                part.prepare(&vqvae_tensors(config))?;
                Some((part, config))
            }
        };
        if let (Some((_, var)), Some((_, vae))) = (&transformer, &vqvae) {
            for (what, transformer, vqvae) in
                [("codes", var.codes, vae.codes), ("codes of width", var.latent, vae.latent)]
            {
                if transformer != vqvae {
                    return Err(ModelError::Mismatch { what, transformer, vqvae });
                }
            }
        }
        Ok(Self { transformer, vqvae, class_names: settings.class_names, heads_assumed })
    }
}

/// Whether a file has a checksum, which holds; not compared where the user wants none.
fn verify(checkpoint: &Checkpoint, file: &str, hints: Hints) -> Result<bool, ModelError> {
    if hints.no_verify {
        return Ok(false);
    }
    let damaged = |source| ModelError::Damaged { file: file.to_owned(), source };
    checkpoint.verify_if_ours().map_err(damaged)
}

/// The tensors of a transformer of this configuration.
pub fn transformer_tensors(config: VarConfig) -> Vec<Wanted> {
    let mut listing = Listing::default();
    let Ok(layers) = TransformerLayers::<Dry<'_, Cpu<'_>>>::bind(&mut listing, config);
    let Ok(_) = layers.assemble(&mut listing);
    listing.wanted
}

/// The tensors of a VQVAE of this configuration.
pub fn vqvae_tensors(config: VqvaeConfig) -> Vec<Wanted> {
    let mut listing = Listing::default();
    let Ok(layers) = VqvaeLayers::<Dry<'_, Cpu<'_>>>::bind(&mut listing, config);
    let Ok(_) = layers.assemble(&mut listing);
    listing.wanted
}

#[cfg(test)]
pub(super) mod tests;
