//! The VQVAE: image ↔ latent ↔ tokens.

mod norm;
pub mod res_block;
pub mod spatial_attention;
pub mod stage;

use crate::arena::Arena;
use crate::memory::{Device, Floats};
use crate::model::config::VqvaeConfig;
use crate::model::quantizer::{Quantizer, bind_refinements};
use crate::model::weights::{Convolution, FeatureShape, Source};
use crate::ops::Backend;
use crate::ops::conv2d::Grid;
use crate::ops::group_norm::Activation;
use crate::storage::{List, Storage};

use norm::Norm;
use stage::{CoderKind, Stage};

/// Channels of an image.
pub const COLORS: usize = 3;

/// A VQVAE: encoder, quantizer and decoder.
///
/// Images are `images × side × side × 3` (channels last) in [−1, 1].
///
/// `'l`: the lists of layers; `'w`: the weights.
pub struct Vqvae<'l, 'w, B: Device> {
    /// Its sizes.
    pub config: VqvaeConfig,
    /// Latent ↔ tokens.
    pub quantizer: Quantizer<'l, 'w, B>,
    encoder: Coder<'l, 'w, B>,
    decoder: Coder<'l, 'w, B>,
}

/// One of the two networks: convolution in, stages, group normalization, SiLU, convolution out.
struct Coder<'l, 'w, B: Device> {
    conv_in: Convolution<'w, B>,
    stages: List<'l, Stage<'w, B>>,
    norm_out: Norm<'w, B>,
    conv_out: Convolution<'w, B>,
    /// Between the networks and the quantizer, on the latent side.
    quantizer_conv: Convolution<'w, B>,
}

impl<'l, 'w, B: Device> Coder<'l, 'w, B> {
    /// Takes its weights from `source`; the stages are [`Stage::bind_all`]'s.
    fn bind<W: Source<'w, B>>(
        source: &mut W,
        config: &VqvaeConfig,
        kind: CoderKind,
        stages: List<'l, Stage<'w, B>>,
    ) -> Result<Self, W::Error> {
        let (latent, coarsest) = (config.latent, config.multipliers.as_slice().len() - 1);
        let (fine, coarse) = (config.channels, config.channels_at(coarsest));
        let (name, quantizer_conv, inner, first, last, outer) = match kind {
            CoderKind::Encoder => ("encoder", "quant_conv", COLORS, fine, coarse, latent),
            CoderKind::Decoder => {
                let finest = config.channels_at(0);
                ("decoder", "post_quant_conv", latent, coarse, finest, COLORS)
            }
        };
        Ok(Self {
            conv_in: Convolution::bind(source, format_args!("{name}.conv_in"), first, inner, 3)?,
            stages,
            norm_out: Norm::bind(source, format_args!("{name}.norm_out"), last)?,
            conv_out: Convolution::bind(source, format_args!("{name}.conv_out"), outer, last, 3)?,
            quantizer_conv: Convolution::bind(
                source,
                format_args!("{quantizer_conv}"),
                latent,
                latent,
                3,
            )?,
        })
    }
}

impl<B: Backend> Coder<'_, '_, B> {
    /// The whole network without the quantizer's convolution: `x` of `maps` → `out`.
    fn forward(
        &self,
        b: &B,
        out: &mut B::Slice,
        x: &B::Slice,
        maps: FeatureShape,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let mut arena = arena.scope();
        let (mut maps, mut channels) = (maps, self.conv_in.outer());
        let first = maps.cells() * channels;
        // Maps go to and fro between two runs; where they are kept, each has its own.
        let largest = stage::largest(&self.stages, channels, maps);
        let keeps = arena.keeps();
        let room = |length: usize| if keeps { length } else { largest };
        let (mut current, mut spent) = (arena.take(room(first)), None);
        let to = current.range_mut(0..first);
        self.conv_in.forward(b, to, x, None, Grid::Same, maps, &mut arena)?;
        for stage in self.stages.iter() {
            let (after, outer) = stage.out(maps, channels);
            let length = after.cells() * outer;
            let next = match spent {
                Some(spent) if !keeps => spent,
                _ => arena.take(room(length)),
            };
            let from = current.range(0..maps.cells() * channels);
            stage.forward(b, next.range_mut(0..length), from, maps, &mut arena)?;
            (maps, channels) = (after, outer);
            spent = Some(core::mem::replace(&mut current, next));
        }
        let length = maps.cells() * channels;
        let normal = match spent {
            Some(spent) if !keeps => spent,
            _ => arena.take(room(length)),
        };
        let normal = normal.range_mut(0..length);
        self.norm_out.forward(b, normal, current.range(0..length), Activation::Silu, maps)?;
        self.conv_out.forward(b, out, normal, None, Grid::Same, maps, &mut arena)
    }
}

impl<'l, 'w, B: Device> Vqvae<'l, 'w, B> {
    /// Bytes of [`Storage`] that [`Vqvae::bind`] needs.
    pub fn storage_len(config: &VqvaeConfig) -> usize {
        let stages = |kind| Storage::len_of::<Stage<'_, B>>(Stage::<B>::count(config, kind));
        Quantizer::<B>::storage_len(config)
            + stages(CoderKind::Encoder)
            + stages(CoderKind::Decoder)
    }

    /// Binds a VQVAE to the weights of `source`, names as in its state dict.
    ///
    /// # Errors
    /// The source's, for the first tensor that is missing or of another shape.
    ///
    /// # Panics
    /// If `storage` holds fewer bytes than [`Vqvae::storage_len`].
    pub fn bind<W: Source<'w, B>>(
        source: &mut W,
        config: VqvaeConfig,
        storage: &mut Storage<'l>,
    ) -> Result<Self, W::Error> {
        // The order in which tensors are asked for is that of a training run's flat weights.
        let refinements = bind_refinements(source, &config, storage)?;
        let down = Stage::bind_all(source, &config, CoderKind::Encoder, storage)?;
        let up = Stage::bind_all(source, &config, CoderKind::Decoder, storage)?;
        let quantizer = Quantizer::with_refinements(source, config, refinements)?;
        let encoder = Coder::bind(source, &config, CoderKind::Encoder, down)?;
        let decoder = Coder::bind(source, &config, CoderKind::Decoder, up)?;
        Ok(Self { config, quantizer, encoder, decoder })
    }
}

impl<B: Backend> Vqvae<'_, '_, B> {
    /// Floats of `images` images.
    pub fn images_len(&self, images: usize) -> usize {
        images * self.config.side() * self.config.side() * COLORS
    }

    /// Images → latents: `quant_conv(encoder(images))`.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn encode(
        &self,
        b: &B,
        latents: &mut B::Slice,
        pictures: &B::Slice,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let (side, coarse) = (self.config.side(), self.config.ladder.finest());
        let batch = pictures.len() / self.images_len(1);
        let mut arena = arena.scope();
        let raw = arena.take(latents.len());
        let maps = FeatureShape { batch, height: side, width: side };
        self.encoder.forward(b, raw, pictures, maps, &mut arena)?;
        let maps = FeatureShape { batch, height: coarse, width: coarse };
        let conv = &self.encoder.quantizer_conv;
        conv.forward(b, latents, raw, None, Grid::Same, maps, &mut arena)
    }

    /// Latents → images: `decoder(post_quant_conv(latents))`, not clamped.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn decode(
        &self,
        b: &B,
        pictures: &mut B::Slice,
        latents: &B::Slice,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let side = self.config.ladder.finest();
        let batch = latents.len() / self.quantizer.latent_len(1);
        let mut arena = arena.scope();
        let raw = arena.take(latents.len());
        let maps = FeatureShape { batch, height: side, width: side };
        let conv = &self.decoder.quantizer_conv;
        conv.forward(b, raw, latents, None, Grid::Same, maps, &mut arena)?;
        self.decoder.forward(b, pictures, raw, maps, &mut arena)
    }
}
