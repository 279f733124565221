//! Images ↔ tokens, and how likely tokens are.

use var_kernel::model::{Ladder, VqvaeConfig};

use super::cost::Workload;
use super::error::{A_LOGIT, AN_IMAGE};
use super::runtime::Engine;
use super::{EngineError, requests};
use crate::images::RgbImage;

impl Engine<'_> {
    /// An image's tokens.
    ///
    /// # Errors
    /// If the model has no VQVAE, the image is not of its side, or there is too little memory.
    pub fn encode(&mut self, picture: &RgbImage) -> Result<Vec<u32>, EngineError> {
        let mut tokens = self.encode_batch(core::slice::from_ref(picture))?;
        Ok(tokens.pop().expect("one image has one row of tokens"))
    }

    /// The tokens of each of several images, which go through the model together.
    ///
    /// # Errors
    /// If the model has no VQVAE, an image is not of its side, or there is too little memory.
    pub fn encode_batch(&mut self, pictures: &[RgbImage]) -> Result<Vec<Vec<u32>>, EngineError> {
        let config = *self.vqvae()?;
        let side = config.side();
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let mut samples = Vec::with_capacity(pictures.len() * side * side * 3);
        for picture in pictures {
            if (picture.width(), picture.height()) != (side, side) {
                let (width, height) = (picture.width(), picture.height());
                return Err(EngineError::ImageSize { wants: side, width, height });
            }
            samples.extend_from_slice(picture.rgb());
        }
        let mut tokens = vec![0; pictures.len() * config.ladder.length()];
        let floats = self.work(Workload::Encode { pictures: pictures.len() })?.floats;
        let task = requests::EncodeRequest { samples: &samples, tokens: &mut tokens };
        if !self.on_vqvae(floats, task)? {
            return Err(self.not_finite("an image's latent"));
        }
        Ok(image_major(&tokens, pictures.len(), &config.ladder))
    }

    /// The image of L tokens; with `each`, also as it looks after every scale.
    ///
    /// # Errors
    /// If the model has no VQVAE, the tokens are not its own, there is too little memory, or the weights
    /// overflow.
    pub fn decode(
        &mut self,
        tokens: &[u32],
        each: Option<&mut dyn FnMut(usize, RgbImage)>,
    ) -> Result<RgbImage, EngineError> {
        let config = *self.vqvae()?;
        check_tokens(tokens, &config)?;
        let floats = self.work(Workload::Decode)?.floats;
        let picture = self.on_vqvae(floats, requests::DecodeRequest { tokens, each })?;
        picture.ok_or_else(|| self.not_finite(AN_IMAGE))
    }

    /// Latents of L tokens, the sum of all scales that the decoder reads: `finest × finest × latent`.
    ///
    /// # Errors
    /// As [`Engine::decode`].
    pub fn latents(&mut self, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        let config = *self.vqvae()?;
        check_tokens(tokens, &config)?;
        let floats = self.work(Workload::Decode)?.floats;
        let mut latents = vec![0.0; config.ladder.finest().pow(2) * config.latent];
        self.on_vqvae(floats, requests::LatentsRequest { latents: &mut latents, tokens })?;
        self.check_finite(latents, "a latent")
    }

    /// The negative log-likelihood of each of an image's L tokens under a class, in nats.
    ///
    /// # Errors
    /// If the model lacks a half, the label has no class, the tokens are not the model's, or there
    /// is too little memory.
    pub fn nll(&mut self, tokens: &[u32], label: u32) -> Result<Vec<f32>, EngineError> {
        self.check_label(label)?;
        check_tokens(tokens, self.vqvae()?)?;
        let floats = self.work(Workload::Nll)?.floats;
        let mut out = vec![0.0; tokens.len()];
        self.on_model(floats, requests::NllRequest { out: &mut out, tokens, label })?;
        self.check_finite(out, "a token's likelihood")
    }

    /// Refuses values with one that is infinite or not a number.
    fn check_finite(&self, values: Vec<f32>, what: &'static str) -> Result<Vec<f32>, EngineError> {
        let finite = values.iter().all(|value| value.is_finite());
        if finite { Ok(values) } else { Err(self.not_finite(what)) }
    }

    /// The error for a result `what` that is infinite or not a number, with the weight that most likely
    /// made it.
    pub fn not_finite(&self, what: &'static str) -> EngineError {
        let var = self.weights.transformer.as_ref().map(|(part, _)| part);
        let parts = var.into_iter().chain(self.weights.vqvae.as_ref().map(|(part, _)| part));
        let largest = parts.filter_map(|part| {
            let (tensor, value) = part.largest_weight()?;
            Some((part.file().to_owned(), tensor, value))
        });
        let largest = largest.max_by(|(.., a), (.., b)| a.abs().total_cmp(&b.abs()));
        let (file, tensor, value) = largest.expect("a model has weights");
        EngineError::NotFinite { what, file, tensor, value }
    }

    /// The logits of each of an image's L tokens given the tokens of the scales before: `L × codes`.
    ///
    /// # Errors
    /// As [`Engine::nll`].
    pub fn logits(&mut self, tokens: &[u32], label: u32) -> Result<Vec<f32>, EngineError> {
        let config = *self.transformer()?;
        self.check_label(label)?;
        check_tokens(tokens, self.vqvae()?)?;
        let mut out = vec![0.0; tokens.len() * config.codes];
        // The logits lie beside the memory that the likelihood takes.
        let floats = self.work(Workload::Nll)?.floats;
        self.on_model(floats, requests::LogitsRequest { out: &mut out, tokens, label })?;
        self.check_finite(out, A_LOGIT)
    }

    fn check_label(&self, label: u32) -> Result<(), EngineError> {
        let classes = self.transformer()?.null_class();
        if label > classes { Err(EngineError::Label { has: label, classes }) } else { Ok(()) }
    }
}

/// Refuses tokens that are not an image's of this VQVAE.
pub(crate) fn check_tokens(tokens: &[u32], config: &VqvaeConfig) -> Result<(), EngineError> {
    let wants = config.ladder.length();
    if tokens.len() != wants {
        return Err(EngineError::TokenCount { wants, has: tokens.len() });
    }
    match tokens.iter().find(|token| **token as usize >= config.codes) {
        Some(token) => Err(EngineError::Token { has: *token, codes: config.codes }),
        None => Ok(()),
    }
}

/// The kernel's order, scale by scale and within a scale image by image, from whole images.
pub(crate) fn scale_major(images: &[impl AsRef<[u32]>], ladder: &Ladder) -> Vec<u32> {
    let scales = (0..ladder.scales()).map(|scale| ladder.range(scale));
    scales
        .flat_map(|range| {
            images.iter().flat_map(move |image| image.as_ref()[range.clone()].to_vec())
        })
        .collect()
}

/// Whole images from the kernel's order.
pub(super) fn image_major(tokens: &[u32], images: usize, ladder: &Ladder) -> Vec<Vec<u32>> {
    let of = |image: usize| {
        let scales = (0..ladder.scales()).map(|scale| ladder.range(scale));
        scales.flat_map(move |range| {
            let start = images * range.start + image * range.len();
            tokens[start..start + range.len()].to_vec()
        })
    };
    (0..images).map(|image| of(image).collect()).collect()
}
