//! The configuration in a model file's metadata.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use var_kernel::model::config::Refinement;
use var_kernel::model::{VarConfig, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;

use super::ModelError;
use crate::images::CropSettings;

/// The key of the configuration in the metadata.
pub const KEY: &str = "config";

/// The configuration as JSON in a model file's metadata.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The transformer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub var: Option<VarSettings>,
    /// The VQVAE's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vae: Option<VaeSettings>,
    /// Names of the classes, in order, where they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// How the images were cut that it learned from, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<CropSettings>,
}

/// A transformer's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as in `VarConfig`")]
pub struct VarSettings {
    pub depth: usize,
    pub width: usize,
    pub heads: usize,
    pub classes: usize,
    pub ladder: Vec<usize>,
    pub unit_length: bool,
    pub shared_modulation: bool,
}

/// A VQVAE's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as in `VqvaeConfig`")]
pub struct VaeSettings {
    pub codes: usize,
    pub latent: usize,
    pub channels: usize,
    pub multipliers: Vec<usize>,
    pub encoder_blocks: usize,
    pub decoder_blocks: usize,
    pub ladder: Vec<usize>,
    /// 0 = one for each scale.
    pub refinements: usize,
    pub refinement_ratio: f32,
    /// Whether codes are found by angle.
    pub unit_length_codes: bool,
    /// Whether the ladder is only the published one: nobody said it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub ladder_assumed: bool,
}

/// A number in the metadata that the tensors contradict.
#[derive(Debug)]
pub struct Differs {
    what: &'static str,
    metadata: String,
    tensors: String,
}

impl Settings {
    /// The configuration in `metadata`, if it has one.
    ///
    /// # Errors
    /// If it is there but cannot be read.
    pub fn read(
        file: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Option<Self>, ModelError> {
        let Some(text) = metadata.get(KEY) else { return Ok(None) };
        let of_file = |source| ModelError::Metadata { file: file.to_owned(), source };
        serde_json::from_str(text).map(Some).map_err(of_file)
    }
}

impl Differs {
    /// The error that names the file.
    pub fn of(self, file: &str) -> ModelError {
        let Self { what, metadata, tensors } = self;
        ModelError::MetadataDiffers { file: file.to_owned(), what, metadata, tensors }
    }
}

impl VarSettings {
    /// Compares the metadata with `found`, the configuration read off the tensors.
    ///
    /// # Errors
    /// The first number that differs.
    pub fn check(&self, found: &Self) -> Result<(), Differs> {
        first_difference([
            ("depth", text(&self.depth), text(&found.depth)),
            ("width", text(&self.width), text(&found.width)),
            ("heads", text(&self.heads), text(&found.heads)),
            ("classes", text(&self.classes), text(&found.classes)),
            ("ladder", text(&self.ladder), text(&found.ladder)),
            ("unit_length", text(&self.unit_length), text(&found.unit_length)),
            ("shared_modulation", text(&self.shared_modulation), text(&found.shared_modulation)),
        ])
    }
}

impl VaeSettings {
    /// Compares the metadata with `found`, read off the tensors. The ladder, the way codes are
    /// found and the share of a refinement's convolution are in no tensor; but without refinements there
    /// is no share.
    ///
    /// # Errors
    /// The first number that differs.
    pub fn check(&self, found: &Self) -> Result<(), Differs> {
        let refines = |settings: &Self| settings.refinement_ratio != 0.0;
        first_difference([
            ("codes", text(&self.codes), text(&found.codes)),
            ("latent", text(&self.latent), text(&found.latent)),
            ("channels", text(&self.channels), text(&found.channels)),
            ("multipliers", text(&self.multipliers), text(&found.multipliers)),
            ("encoder_blocks", text(&self.encoder_blocks), text(&found.encoder_blocks)),
            ("decoder_blocks", text(&self.decoder_blocks), text(&found.decoder_blocks)),
            ("refinements", text(&self.refinements), text(&found.refinements)),
            ("a refinement", text(&refines(self)), text(&refines(found))),
        ])
    }
}

fn text(value: &dyn core::fmt::Debug) -> String {
    format!("{value:?}")
}

fn first_difference<const N: usize>(
    numbers: [(&'static str, String, String); N],
) -> Result<(), Differs> {
    match numbers.into_iter().find(|(_, metadata, tensors)| metadata != tensors) {
        Some((what, metadata, tensors)) => Err(Differs { what, metadata, tensors }),
        None => Ok(()),
    }
}

impl From<&VarConfig> for VarSettings {
    fn from(config: &VarConfig) -> Self {
        Self {
            depth: config.depth,
            width: config.width,
            heads: config.heads,
            classes: config.classes,
            ladder: config.ladder.sides().to_vec(),
            unit_length: config.unit_length,
            shared_modulation: config.shared_modulation,
        }
    }
}

impl From<&VqvaeConfig> for VaeSettings {
    fn from(config: &VqvaeConfig) -> Self {
        Self {
            codes: config.codes,
            latent: config.latent,
            channels: config.channels,
            multipliers: config.multipliers.as_slice().to_vec(),
            encoder_blocks: config.encoder_blocks,
            decoder_blocks: config.decoder_blocks,
            ladder: config.ladder.sides().to_vec(),
            refinements: match config.refinement {
                Refinement::Shared => 1,
                Refinement::Partial(count) => count,
                Refinement::PerScale => 0,
            },
            refinement_ratio: config.refinement_ratio,
            unit_length_codes: config.distance == Distance::Angle,
            ladder_assumed: false,
        }
    }
}
