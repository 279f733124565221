//! A whole model from one source of weights or two.

use core::fmt;

use super::weights::Source;
use super::{Model, Transformer, VarConfig, Vqvae, VqvaeConfig};
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
    /// ```
    /// # use core::mem::MaybeUninit;
    /// # use var_kernel::*;
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/small_model/mod.rs"));
    /// # fn main() {
    /// let (var, vae) = configs();
    /// let mut layers = vec![MaybeUninit::uninit(); Model::<Cpu>::storage_len(&var, &vae)];
    /// let mut storage = Storage::new(&mut layers);
    /// let Ok(model) = Model::<Cpu>::bind(&mut Constant, var, vae, &mut storage);
    /// assert_eq!(model.vqvae.config.side(), 16);
    /// # }
    /// ```
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
        let transformer = Transformer::bind(&mut Prefixed(source, TRANSFORMER), var, storage)?;
        let vqvae = Vqvae::bind(&mut Prefixed(source, VQVAE), vae, storage)?;
        Ok(Self { transformer, vqvae })
    }

    /// Binds transformer and VQVAE each to the weights of its own source, names as in its state dict.
    ///
    /// # Errors
    /// The source's, for the first tensor that is missing or of another shape.
    ///
    /// # Panics
    /// If `storage` holds fewer bytes than [`Model::storage_len`].
    pub fn bind_parts<W: Source<'w, B>>(
        (of_var, var): (&mut W, VarConfig),
        (of_vae, vae): (&mut W, VqvaeConfig),
        storage: &mut Storage<'l>,
    ) -> Result<Self, W::Error> {
        let transformer = Transformer::bind(of_var, var, storage)?;
        Ok(Self { transformer, vqvae: Vqvae::bind(of_vae, vae, storage)? })
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
                    let Ok(_) = Vqvae::<B>::bind(&mut AnyTensor, config, &mut storage);
                    // Three lists, each with less than one alignment to spare.
                    let spare = 3 * align_of::<usize>();
                    assert!(storage.left() < spare, "{} bytes to spare", storage.left());
                }
            }
        }
    }
}
