//! A whole model from one source of weights, its lists of layers in lent storage.

use core::fmt;

use super::quantizer::bind_refinement;
use super::transformer::Block;
use super::vqvae::{Coder, CoderKind, Stage};
use super::weights::{Convolution, Source};
use super::{Model, Quantizer, Transformer, VarConfig, Vqvae, VqvaeConfig};
use crate::memory::Device;
use crate::storage::Storage;

/// Prefix of the transformer's tensors in a model file.
pub(super) const TRANSFORMER: &str = "var.";
/// Prefix of the VQVAE's tensors in a model file.
pub(super) const VQVAE: &str = "vae.";

impl<'l, 'w, B: Device> Model<'l, 'w, B> {
    /// Bytes of [`Storage`] that [`Model::bind`] needs for a model of these sizes.
    pub fn storage_len(var: &VarConfig, vae: &VqvaeConfig) -> usize {
        Transformer::<B>::storage_len(var) + Vqvae::<B>::storage_len(vae)
    }

    /// Binds transformer and VQVAE to the weights of `source`: names as in a model file, `var.…` and
    /// `vae.…`.
    ///
    /// # Errors
    /// The source's, for the first tensor that is missing or of another shape.
    ///
    /// # Panics
    /// If `storage` holds fewer bytes than [`Model::storage_len`].
    pub fn bind<W: Source<'w, B>>(
        source: &mut W,
        var: VarConfig,
        vae: VqvaeConfig,
        storage: &mut Storage<'l>,
    ) -> Result<Self, W::Error> {
        let transformer = Transformer::bind_in(&mut Prefixed(source, TRANSFORMER), var, storage)?;
        let vqvae = Vqvae::bind_in(&mut Prefixed(source, VQVAE), vae, storage)?;
        Ok(Self { transformer, vqvae })
    }
}

impl<'l, 'w, B: Device> Transformer<'l, 'w, B> {
    /// Bytes of [`Storage`] that [`Transformer::bind_in`] needs.
    pub fn storage_len(config: &VarConfig) -> usize {
        Storage::len_of::<Block<'_, B>>(config.depth)
    }

    /// Binds a transformer to the weights of `source`, names as in its state dict.
    ///
    /// # Errors
    /// The source's, for the first tensor that is missing or of another shape.
    ///
    /// # Panics
    /// If `storage` holds fewer bytes than [`Transformer::storage_len`].
    pub fn bind_in<W: Source<'w, B>>(
        source: &mut W,
        config: VarConfig,
        storage: &mut Storage<'l>,
    ) -> Result<Self, W::Error> {
        let mut blocks = storage.list(config.depth);
        for number in 0..config.depth {
            blocks.push(Block::bind(source, &config, number)?);
        }
        Self::bind(source, config, blocks.into_slice())
    }
}

impl<'l, 'w, B: Device> Vqvae<'l, 'w, B> {
    /// Bytes of [`Storage`] that [`Vqvae::bind_in`] needs.
    pub fn storage_len(config: &VqvaeConfig) -> usize {
        let stages = |kind| Storage::len_of::<Stage<'_, B>>(Stage::<B>::count(config, kind));
        Storage::len_of::<Convolution<'_, B>>(config.refinements())
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
    pub fn bind_in<W: Source<'w, B>>(
        source: &mut W,
        config: VqvaeConfig,
        storage: &mut Storage<'l>,
    ) -> Result<Self, W::Error> {
        let mut refinements = storage.list(config.refinements());
        for number in 0..config.refinements() {
            refinements.push(bind_refinement(source, &config, number)?);
        }
        let quantizer = Quantizer::bind(source, config, refinements.into_slice())?;
        let mut stages = |kind| {
            let mut stages = storage.list(Stage::<B>::count(&config, kind));
            Stage::bind_all(source, &config, kind, &mut |stage| stages.push(stage))?;
            Ok(stages.into_slice())
        };
        let (down, up) = (stages(CoderKind::Encoder)?, stages(CoderKind::Decoder)?);
        let encoder = Coder::bind(source, &config, CoderKind::Encoder, down)?;
        let decoder = Coder::bind(source, &config, CoderKind::Decoder, up)?;
        Ok(Self::new(config, quantizer, encoder, decoder))
    }
}

/// A source with a prefix before every name.
struct Prefixed<'p, W>(&'p mut W, &'static str);

impl<'a, B: Device, W: Source<'a, B>> Source<'a, B> for Prefixed<'_, W> {
    type Error = W::Error;

    fn matrix(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<B::Matrix<'a>, W::Error> {
        self.0.matrix(format_args!("{}{name}", self.1), shape)
    }

    fn vector(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<&'a B::Slice, W::Error> {
        self.0.vector(format_args!("{}{name}", self.1), shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Cpu;
    use crate::dry::Dry;
    use crate::model::AnyTensor;
    use crate::model::config::{ChannelMultipliers, Refinement};
    use crate::ops::nearest_code::Distance;
    use core::mem::MaybeUninit;
    use std::vec;

    type B = Dry<'static, Cpu<'static>>;

    /// Every shape of VQVAE binds in exactly the storage asked for, wherever that begins.
    #[test]
    fn storage_len_is_enough_and_no_more_than_alignment_spare() {
        let ladder = crate::model::Ladder::named("256").unwrap();
        for (encoder_blocks, decoder_blocks, levels) in
            [(1, 2, &[1_usize][..]), (2, 3, &[1, 1, 2, 2, 4]), (3, 1, &[1, 2])]
        {
            for refinement in [Refinement::Shared, Refinement::Partial(4), Refinement::PerScale] {
                let config = VqvaeConfig {
                    codes: 16,
                    latent: 8,
                    channels: 32,
                    multipliers: ChannelMultipliers::new(levels).unwrap(),
                    encoder_blocks,
                    decoder_blocks,
                    ladder,
                    refinement,
                    refinement_ratio: 0.5,
                    distance: Distance::Euclidean,
                };
                let length = Vqvae::<B>::storage_len(&config);
                let mut bytes = vec![MaybeUninit::uninit(); length + 1];
                for start in [0, 1] {
                    let mut storage = Storage::new(&mut bytes[start..length + start]);
                    let Ok(_) = Vqvae::<B>::bind_in(&mut AnyTensor, config, &mut storage);
                    let spare = 3 * align_of::<Stage<'_, B>>();
                    assert!(storage.len() < spare, "{} bytes to spare", storage.len());
                }
            }
        }
    }
}
