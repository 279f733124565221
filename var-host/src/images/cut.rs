//! How a data set's images were cut, as files of models and tokens keep it.

use serde::{Deserialize, Serialize};

/// How the images were cut that a model learned from, or that tokens were made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CropSettings {
    /// Before, the shorter side was resized to so many times the model's.
    pub mid_reso: f64,
    /// Where.
    pub crop: CropMode,
}

/// Where an image is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropMode {
    /// In the middle.
    Center,
    /// Anywhere.
    Random,
}
