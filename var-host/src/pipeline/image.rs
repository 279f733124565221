//! A drawn image.

use std::path::Path;

use crate::images::{Parameters, RgbImage, write_png};

use super::error::Error;
use super::options::SampleOptions;

/// A drawn image: its pixels, its tokens, and the request that draws it again.
#[derive(Clone, Debug)]
pub struct Image {
    /// The pixels.
    pub picture: RgbImage,
    /// L tokens, scale by scale.
    pub tokens: Vec<u32>,
    /// The class; the null class for none.
    pub label: u32,
    /// Index in the request: with the seed, it decides the random numbers.
    pub index: u32,
    /// Settings of the request.
    pub options: SampleOptions,
    /// The command, the model and the request by name, as `var sample` keeps them in a PNG file.
    pub parameters: Parameters,
}

impl Image {
    /// Writes a PNG with the request as text in it; replaces a file of that name.
    ///
    /// # Errors
    /// If the file cannot be written; nothing is left behind then.
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        Ok(write_png(path.as_ref(), &self.picture, &self.parameters, true)?)
    }
}
