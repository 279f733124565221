//! What each scale of a batch quantizes, and into which codes.

use var_kernel::arena::Arena;
use var_kernel::memory::Floats;
use var_kernel::model::{Quantizer, VqvaeConfig};
use var_kernel::ops::Backend;

/// What the scales of a batch quantize, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Residuals {
    /// For each scale `images × cells × latent`.
    pub features: Vec<Vec<f32>>,
    /// For each scale the code of each feature.
    pub tokens: Vec<Vec<u32>>,
}

impl Residuals {
    /// What quantizing `latents` leaves for each scale.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If `latents` is not whole images, or the arena is too small.
    pub fn of<B: Backend>(
        b: &B,
        quantizer: &Quantizer<'_, '_, B>,
        config: &VqvaeConfig,
        latents: &B::Slice,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<Self, B::Error> {
        let images = latents.len() / quantizer.latent_len(1);
        let mut all = vec![0; images * config.ladder.length()];
        let (mut features, mut tokens) = (Vec::new(), Vec::new());
        quantizer.encode_telling(b, &mut all, latents, arena, |_, of_scale, codes| {
            let mut values = vec![0.0; of_scale.len()];
            b.download(&mut values, of_scale)?;
            features.push(values);
            tokens.push(codes.to_vec());
            Ok(())
        })?;
        Ok(Self { features, tokens })
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
