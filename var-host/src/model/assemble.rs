//! The kernel's views of a model, put together from a source of weights: owns the lists of layers
//! that the kernel only borrows.

use var_kernel::memory::Device;
use var_kernel::model::quantizer::bind_refinement;
use var_kernel::model::transformer::Block;
use var_kernel::model::vqvae::{Coder, CoderKind, Stage};
use var_kernel::model::weights::{Convolution, Source};
use var_kernel::model::{Model, Quantizer, Transformer, VarConfig, Vqvae, VqvaeConfig};

/// A transformer's layers.
pub struct TransformerLayers<'w, B: Device> {
    config: VarConfig,
    blocks: Vec<Block<'w, B>>,
}

/// A VQVAE's layers.
pub struct VqvaeLayers<'w, B: Device> {
    config: VqvaeConfig,
    refinements: Vec<Convolution<'w, B>>,
    encoder: Vec<Stage<'w, B>>,
    decoder: Vec<Stage<'w, B>>,
}

impl<'w, B: Device> TransformerLayers<'w, B> {
    /// Takes the blocks' weights from `source`.
    ///
    /// # Errors
    /// The source's.
    pub fn bind<W: Source<'w, B>>(source: &mut W, config: VarConfig) -> Result<Self, W::Error> {
        let blocks = (0..config.depth).map(|number| Block::bind(source, &config, number));
        let blocks = blocks.collect::<Result<_, _>>()?;
        Ok(Self { config, blocks })
    }

    /// Takes the other weights from `source` and puts the transformer together.
    ///
    /// # Errors
    /// The source's.
    pub fn assemble<W: Source<'w, B>>(
        &self,
        source: &mut W,
    ) -> Result<Transformer<'_, 'w, B>, W::Error> {
        Transformer::bind(source, self.config, &self.blocks)
    }
}

impl<'w, B: Device> VqvaeLayers<'w, B> {
    /// Takes the layers' weights from `source`.
    ///
    /// # Errors
    /// The source's.
    pub fn bind<W: Source<'w, B>>(source: &mut W, config: VqvaeConfig) -> Result<Self, W::Error> {
        let numbers = 0..config.refinements();
        let refinements = numbers.map(|number| bind_refinement(source, &config, number));
        let refinements = refinements.collect::<Result<_, _>>()?;
        let mut stages = |which| {
            let mut stages = Vec::new();
            Stage::bind_all(source, &config, which, &mut |stage| stages.push(stage))?;
            Ok(stages)
        };
        let (encoder, decoder) = (stages(CoderKind::Encoder)?, stages(CoderKind::Decoder)?);
        Ok(Self { config, refinements, encoder, decoder })
    }

    /// Takes the other weights from `source` and puts the VQVAE together.
    ///
    /// # Errors
    /// The source's.
    pub fn assemble<W: Source<'w, B>>(&self, source: &mut W) -> Result<Vqvae<'_, 'w, B>, W::Error> {
        let quantizer = Quantizer::bind(source, self.config, &self.refinements)?;
        let encoder = Coder::bind(source, &self.config, CoderKind::Encoder, &self.encoder)?;
        let decoder = Coder::bind(source, &self.config, CoderKind::Decoder, &self.decoder)?;
        Ok(Vqvae::new(self.config, quantizer, encoder, decoder))
    }
}

/// Puts a whole model together, each half from its own source.
///
/// # Errors
/// The sources'.
pub fn model<'l, 'w, B: Device, W: Source<'w, B>>(
    transformer: (&'l TransformerLayers<'w, B>, &mut W),
    vqvae: (&'l VqvaeLayers<'w, B>, &mut W),
) -> Result<Model<'l, 'w, B>, W::Error> {
    Ok(Model {
        transformer: transformer.0.assemble(transformer.1)?,
        vqvae: vqvae.0.assemble(vqvae.1)?,
    })
}
