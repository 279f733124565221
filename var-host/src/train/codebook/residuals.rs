//! Residuals quantized by each scale of a batch, and their codes.

use var_kernel::memory::{Device, Floats};
use var_kernel::model::VqvaeConfig;

use crate::train::vqvae::ForwardPass;

/// Residuals quantized by the scales of a batch, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Residuals {
    /// For each scale `images × cells × latent`.
    pub features: Vec<Vec<f32>>,
    /// For each scale the code of each feature.
    pub tokens: Vec<Vec<u32>>,
}

impl Residuals {
    /// Nothing of any scale.
    pub fn new(scales: usize) -> Self {
        Self { features: vec![Vec::new(); scales], tokens: vec![Vec::new(); scales] }
    }

    /// Those of a step; `values`: the values of its room.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn of<D: Device>(
        device: &D,
        config: &VqvaeConfig,
        step: &ForwardPass,
        values: &D::Slice,
    ) -> Result<Self, D::Error> {
        let ladder = &config.ladder;
        let images = step.tokens.len() / ladder.length();
        let mut all = Self::new(ladder.scales());
        for (scale, span) in step.features.iter().enumerate() {
            let of_scale = span.of(values);
            all.features[scale] = vec![0.0; of_scale.len()];
            device.download(&mut all.features[scale], of_scale)?;
            let range = ladder.range(scale);
            all.tokens[scale] = step.tokens[images * range.start..images * range.end].to_vec();
        }
        Ok(all)
    }

    /// Adds those of further images.
    pub fn append(&mut self, others: &Self) {
        for (features, others) in self.features.iter_mut().zip(&others.features) {
            features.extend_from_slice(others);
        }
        for (tokens, others) in self.tokens.iter_mut().zip(&others.tokens) {
            tokens.extend_from_slice(others);
        }
    }

    /// How many scales.
    pub fn scales(&self) -> usize {
        self.tokens.len()
    }

    /// Features of `scale` that became each of `codes` codes.
    pub fn hits(&self, scale: usize, codes: usize) -> Vec<u32> {
        let mut hits = vec![0; codes];
        for token in &self.tokens[scale] {
            hits[*token as usize] += 1;
        }
        hits
    }
}
