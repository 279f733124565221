//! What a model file's metadata says that its tensors cannot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use var_kernel::model::config::Refinement;
use var_kernel::model::{Ladder, VarConfig, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;

use super::ModelError;

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

    /// The ladder it names, if it is one.
    pub fn ladder(&self) -> Option<Ladder> {
        let sides = self.var.as_ref().map(|var| &var.ladder);
        sides.or(self.vae.as_ref().map(|vae| &vae.ladder)).and_then(|sides| Ladder::new(sides).ok())
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
        }
    }
}
