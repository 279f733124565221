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
}

impl Image {
    /// Writes a PNG with the request as text in it; replaces a file of that name.
    ///
    /// # Errors
    /// If the file cannot be written; nothing is left behind then.
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        Ok(write_png(path.as_ref(), &self.picture, &self.parameters(), true)?)
    }

    /// The request as names and values.
    fn parameters(&self) -> Parameters {
        let SampleOptions { cfg, seed, top_k, top_p, more_smooth, .. } = self.options;
        let pairs = [
            ("class", self.label.to_string()),
            ("index", self.index.to_string()),
            ("seed", seed.to_string()),
            ("cfg", cfg.to_string()),
            ("top-k", top_k.to_string()),
            ("top-p", top_p.to_string()),
            ("more-smooth", more_smooth.to_string()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}
