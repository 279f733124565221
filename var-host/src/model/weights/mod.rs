//! A transformer, a VQVAE or both, from the files they are in.

use std::path::Path;
use std::sync::Arc;

use var_kernel::cpu::Cpu;
use var_kernel::dry::Dry;
use var_kernel::model::{Ladder, Transformer, VarConfig, Vqvae, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;
use var_kernel::storage::Storage;

use super::detect::{self, Hints};
use super::listing::{Listing, Wanted};
use super::part::{FoundPart, MARKS, PREFIXES};
use super::settings::{Settings, VaeSettings};
use super::{Identity, ModelError, ModelPart, family, mask};
use crate::checkpoint::Checkpoint;
use crate::images::CropSettings;
use crate::plural;

/// A transformer, a VQVAE or both, with their configurations.
pub struct Weights {
    /// The transformer.
    pub transformer: Option<(ModelPart, VarConfig)>,
    /// The VQVAE.
    pub vqvae: Option<(ModelPart, VqvaeConfig)>,
    /// Names of the classes, where the file has them.
    pub class_names: Vec<String>,
    /// How the images were cut that the transformer learned from, or the VQVAE alone, where the file
    /// says.
    pub cut: Option<CropSettings>,
    /// Whether the number of heads is only the published rule (width / 64), for the user to know.
    pub heads_assumed: bool,
    /// Whether the VQVAE's ladder is only the published one, for the user to know.
    pub ladder_assumed: bool,
    /// Notes to the user on how the files were read, a line each.
    pub notes: Vec<String>,
}

impl Weights {
    /// The model file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, holds neither half, or is no model.
    pub fn open(path: &Path, hints: &Hints) -> Result<Self, ModelError> {
        Self::of(Checkpoint::open_whole(path)?, path.display().to_string(), hints)
    }

    /// The model file embedded in the program.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn built_in(bytes: &'static [u8]) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::from_static(bytes).map_err(ModelError::BuiltIn)?;
        Self::of(checkpoint, "the built-in model".to_owned(), &Hints::default())
    }

    /// Published checkpoints, or the trainer's, as they are.
    ///
    /// # Errors
    /// If a file cannot be read, does not hold the half it is given for, or the halves do not belong
    /// together.
    pub fn open_halves(
        var: Option<&Path>,
        vae: Option<&Path>,
        hints: &Hints,
    ) -> Result<Self, ModelError> {
        let open = |path: &Path, half: usize| {
            let file = path.display().to_string();
            let checkpoint = Arc::new(Checkpoint::open_whole(path)?);
            let verified = verify(&checkpoint, &file, hints)?;
            match ModelPart::find(&checkpoint, &file, half, hints.part.as_deref())? {
                Some(found) => Ok(found.verified(verified)),
                None => Err(no_part(&checkpoint, file, half)),
            }
        };
        let var = var.map(|path| open(path, 0)).transpose()?;
        let vae = vae.map(|path| open(path, 1)).transpose()?;
        let weights = Self::new(var, vae, hints)?;
        weights.check_together()?;
        Ok(weights)
    }

    /// Refuses a VQVAE that is not the one in the transformer's own file, as checkpoints of a training
    /// run have it: the transformer has learned the other's codes.
    fn check_together(&self) -> Result<(), ModelError> {
        let (Some((var, _)), Some((vae, _))) = (&self.transformer, &self.vqvae) else {
            return Ok(());
        };
        let metadata = var.checkpoint().metadata();
        // A digest that cannot be read says nothing.
        let Ok(Some(own)) = Identity::of_vqvae_in(|key| metadata.get(key)) else { return Ok(()) };
        let given = vae.identity();
        if own.has_source_of(&given) {
            return Ok(());
        }
        Err(ModelError::OtherVqvae {
            file: var.file().to_owned(),
            own: own.digest.short(),
            vae: vae.file().to_owned(),
            given: given.digest.short(),
        })
    }

    /// The model in an open checkpoint, called `file` in messages.
    ///
    /// # Errors
    /// If it holds neither half, or is no model.
    pub fn of(checkpoint: Checkpoint, file: String, hints: &Hints) -> Result<Self, ModelError> {
        let checkpoint = Arc::new(checkpoint);
        let verified = verify(&checkpoint, &file, hints)?;
        let find = |half| -> Result<Option<FoundPart>, ModelError> {
            let found = ModelPart::find(&checkpoint, &file, half, hints.part.as_deref())?;
            Ok(found.map(|found| found.verified(verified)))
        };
        let (var, vae) = (find(0)?, find(1)?);
        let settings = Settings::read(&file, checkpoint.metadata())?.unwrap_or_default();
        let neither = var.is_none() && vae.is_none();
        let said = [settings.var.is_some(), settings.vae.is_some()];
        for (half, found) in [&var, &vae].into_iter().enumerate() {
            let remains = || checkpoint.tensors().any(|t| t.name.starts_with(PREFIXES[half]));
            if found.is_none() && (neither || said[half] || remains()) {
                return Err(no_part(&checkpoint, file, half));
            }
        }
        Self::new(var, vae, hints)
    }

    fn new(
        var: Option<FoundPart>,
        vae: Option<FoundPart>,
        hints: &Hints,
    ) -> Result<Self, ModelError> {
        check_part(&var, &vae, hints)?;
        let settings = |found: &Option<FoundPart>| match found {
            Some(FoundPart { part, .. }) => {
                Settings::read(part.file(), part.checkpoint().metadata())
            }
            None => Ok(None),
        };
        let of_var = settings(&var)?.unwrap_or_default();
        let of_vae = settings(&vae)?.unwrap_or_default();
        let cut = if var.is_some() { of_var.cut } else { of_vae.cut };
        let class_names = if var.is_some() { of_var.class_names } else { of_vae.class_names };
        let mut weights = Self {
            transformer: None,
            vqvae: None,
            class_names,
            cut,
            heads_assumed: false,
            ladder_assumed: false,
            notes: Vec::new(),
        };
        if let Some(FoundPart { mut part, .. }) = var {
            let (config, assumed) = detect::transformer(&part, hints, of_var.var.as_ref())?;
            mask::check(&part, &config.ladder)?;
            weights.heads_assumed = assumed;
            part.prepare(&transformer_tensors(config))?;
            weights.transformer = Some((part, config));
        }
        if let Some(FoundPart { mut part, .. }) = vae {
            let ladder = weights.vqvae_ladder(&part, hints, of_vae.vae.as_ref())?;
            let mut config = detect::vqvae(&part, ladder)?;
            if let Some(said) = &of_vae.vae {
                said.check(&VaeSettings::from(&config))
                    .map_err(|differs| differs.of(part.file()))?;
                if said.unit_length_codes {
                    config.distance = Distance::Angle;
                }
                config.refinement_ratio = said.refinement_ratio;
            }
            part.prepare(&vqvae_tensors(config))?;
            weights.notes.extend(part.losses().iter().map(|(name, count)| {
                let tensors = plural::count(*count, "tensor");
                format!("{}: passed over: {tensors} of {name}", part.file())
            }));
            weights.vqvae = Some((part, config));
        }
        weights.check_codes()?;
        Ok(weights)
    }

    /// The ladder of the VQVAE in `part`: the transformer's, or as the user or its file says, else the
    /// published one.
    fn vqvae_ladder(
        &mut self,
        part: &ModelPart,
        hints: &Hints,
        said: Option<&VaeSettings>,
    ) -> Result<Ladder, ModelError> {
        let file = || part.file().to_owned();
        let said = said.filter(|said| !said.ladder_assumed).map(|said| Ladder::new(&said.ladder));
        let said = said.transpose().map_err(|source| part.config_error(source))?;
        if let Some((var, config)) = &self.transformer {
            return match said {
                Some(said) if said != config.ladder && hints.ladder.is_none() => {
                    Err(ModelError::Ladders {
                        var: var.file().to_owned(),
                        vae: file(),
                        transformer: Box::new(config.ladder),
                        vqvae: Box::new(said),
                    })
                }
                _ => Ok(config.ladder),
            };
        }
        if let Some(asked) = hints.ladder {
            if let Some(said) = said.filter(|said| *said != asked) {
                let note = format!("{}: ladder {asked} as asked for; the file says {said}", file());
                self.notes.push(note);
            }
            return Ok(asked);
        }
        if let Some(said) = said {
            return Ok(said);
        }
        let published = detect::published_ladder(part)?;
        self.ladder_assumed = true;
        self.notes.push(format!(
            "{}: ladder {published}, the published one: the file does not say, --ladder may",
            file()
        ));
        Ok(published)
    }

    /// Checks that transformer and VQVAE have the same codes.
    fn check_codes(&self) -> Result<(), ModelError> {
        let (Some((_, var)), Some((_, vae))) = (&self.transformer, &self.vqvae) else {
            return Ok(());
        };
        for (what, transformer, vqvae) in
            [("codes", var.codes, vae.codes), ("codes of width", var.latent, vae.latent)]
        {
            if transformer != vqvae {
                return Err(ModelError::Mismatch { what, transformer, vqvae });
            }
        }
        Ok(())
    }
}

/// Why there is no half number `half` in a file: it is a relative's, or there is none.
fn no_part(checkpoint: &Checkpoint, file: String, half: usize) -> ModelError {
    if let Err(relative) = family::refuse(checkpoint, &file, "", half) {
        return relative;
    }
    let (part, wants) = MARKS[half];
    ModelError::NoPart { file, part, wants }
}

/// Checks that the part that was asked for is in one of the files.
fn check_part(
    var: &Option<FoundPart>,
    vae: &Option<FoundPart>,
    hints: &Hints,
) -> Result<(), ModelError> {
    let Some(asked) = &hints.part else { return Ok(()) };
    let found: Vec<&FoundPart> = var.iter().chain(vae).collect();
    if found.iter().any(|found| found.was_asked_for) {
        return Ok(());
    }
    let mut files: Vec<&str> = found.iter().map(|found| found.part.file()).collect();
    files.dedup();
    let parts = found.iter().map(|found| format!("{:?}", found.part.name()));
    Err(ModelError::NoSuchPart {
        asked: asked.clone(),
        file: files.join(", "),
        parts: parts.collect::<Vec<_>>().join(", "),
    })
}

/// Whether a file has a checksum, which holds; not compared where the user wants none.
///
/// It costs less than it spares: `var info` of a d16 in `f32` (1.24 GB, all in the page cache) takes 0.19 s
/// of processor time with it and 0.51 s without, since the digest of a file without a valid checksum is
/// computed from its tensors (BLAKE3, 2 threads; EPYC of family 25 model 1, 2 cores, release build).
fn verify(checkpoint: &Checkpoint, file: &str, hints: &Hints) -> Result<bool, ModelError> {
    if hints.no_verify {
        return Ok(false);
    }
    let damaged = |source| ModelError::Damaged { file: file.to_owned(), source };
    checkpoint.verify_if_ours().map_err(damaged)
}

/// The tensors of a transformer of this configuration.
pub fn transformer_tensors(config: VarConfig) -> Vec<Wanted> {
    let mut listing = Listing::default();
    let heap = &mut Storage::heap();
    let Ok(_) = Transformer::<Dry<'_, Cpu<'_>>>::bind(&mut listing, config, heap);
    listing.wanted
}

/// The tensors of a VQVAE of this configuration.
pub fn vqvae_tensors(config: VqvaeConfig) -> Vec<Wanted> {
    let mut listing = Listing::default();
    let Ok(_) = Vqvae::<Dry<'_, Cpu<'_>>>::bind(&mut listing, config, &mut Storage::heap());
    listing.wanted
}

impl Weights {
    /// The transformer's identity and the VQVAE's, of those there are; see [`ModelPart::identity`].
    pub fn identities(&self) -> [Option<Identity>; 2] {
        let var = self.transformer.as_ref().map(|(part, _)| part.identity());
        [var, self.vqvae.as_ref().map(|(part, _)| part.identity())]
    }
}

#[cfg(test)]
pub(super) mod tests;
