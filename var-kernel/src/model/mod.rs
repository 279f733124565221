//! The model: configuration ([`config`], [`ladder`]), weights by name ([`weights`]) and the forward pass
//! ([`transformer`], [`quantizer`], [`vqvae`]), written once for every backend.

mod any_tensor;
mod bind;
pub mod config;
pub mod file;
pub mod ladder;
pub mod quantizer;
pub mod transformer;
pub mod vqvae;
pub mod weights;

pub use any_tensor::AnyTensor;
pub use config::{ConfigError, VarConfig, VqvaeConfig};
pub use file::{ModelFile, ModelFileError};
pub use ladder::{Ladder, LadderError};
pub use quantizer::Quantizer;
pub use transformer::Transformer;
pub use vqvae::Vqvae;

/// A transformer and the VQVAE of its tokens.
///
/// `'l`: the lists of layers; `'w`: the weights.
pub struct Model<'l, 'w, B: crate::memory::Device> {
    /// Predicts tokens.
    pub transformer: Transformer<'l, 'w, B>,
    /// Turns tokens into images and back.
    pub vqvae: Vqvae<'l, 'w, B>,
}
