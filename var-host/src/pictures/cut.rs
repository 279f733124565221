//! How a data set's pictures were cut, as files of models and tokens keep it.

use serde::{Deserialize, Serialize};

/// How the pictures were cut that a model learnt from, or that tokens were made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// Before, the shorter side was resized to so many times the model's.
    pub mid_reso: f64,
    /// Where.
    pub crop: Crop,
}

/// Where a picture is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crop {
    /// In the middle.
    Center,
    /// Anywhere.
    Random,
}
