//! A network that tells real images from reconstructed ones, patch by patch (Isola and others,
//! "Image-to-Image Translation with Conditional Adversarial Networks", 2017, the discriminator).

mod gan_losses;
#[cfg(test)]
mod tests;

use core::fmt;

use var_kernel::arena::Arena;
use var_kernel::cpu::Cpu;
use var_kernel::dry::Dry;
use var_kernel::memory::{Device, Floats};
use var_kernel::model::vqvae::COLORS;
use var_kernel::model::weights::{Convolution, FeatureShape, Source};
use var_kernel::ops::PerceptualBackend;
use var_kernel::ops::conv2d::Grid;
use var_kernel::ops::elementwise::Unary;
use var_kernel::ops::group_norm::{self, Activation};

use crate::model::listing::{Listing, Wanted};

pub use gan_losses::{GanTarget, discriminator_loss, generator_loss, workspace_size};

/// The activation between layers.
const LEAKY_RELU: Unary = Unary::LeakyRelu { slope: 0.2 };
/// GroupNorm's epsilon.
const EPS: f32 = 1e-6;
/// Channels of a group.
const GROUP: usize = 8;

/// Sizes of a discriminator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscriminatorConfig {
    /// Channels after the first convolution, a multiple of 8; each halving of the side doubles them,
    /// up to eight times as many.
    pub channels: usize,
    /// How often the side is halved, at least once.
    pub halvings: usize,
}

impl DiscriminatorConfig {
    /// One with a map of at least 8 × 8 patches for images of `side`, after at most three
    /// halvings.
    pub fn for_side(channels: usize, side: usize) -> Self {
        let halvings = (1..=3).rev().find(|n| side >> n >= 8 && side.is_multiple_of(1 << n));
        Self { channels, halvings: halvings.unwrap_or(1) }
    }

    /// Channels after `halvings` halvings.
    fn channels_after(&self, halvings: usize) -> usize {
        self.channels << (halvings.saturating_sub(1)).min(3)
    }

    /// The judgments of images of this size.
    pub fn judgments(&self, maps: FeatureShape) -> usize {
        maps.batch * (maps.height >> self.halvings) * (maps.width >> self.halvings)
    }
}

/// A discriminator's weights: a convolution and a leaky ReLU, then several times convolution, group
/// normalization and leaky ReLU, then a convolution to one number a cell.
pub struct Discriminator<'w, B: Device> {
    config: DiscriminatorConfig,
    first: Convolution<'w, B>,
    layers: Vec<Layer<'w, B>>,
    last: Convolution<'w, B>,
}

struct Layer<'w, B: Device> {
    convolution: Convolution<'w, B>,
    weight: &'w B::Slice,
    bias: &'w B::Slice,
    grid: Grid,
}

impl<'w, B: Device> Discriminator<'w, B> {
    /// Takes the weights from `source`.
    ///
    /// # Errors
    /// The source's.
    pub fn bind<W: Source<'w, B>>(
        source: &mut W,
        config: DiscriminatorConfig,
    ) -> Result<Self, W::Error> {
        let mut inner = config.channels_after(1);
        let first = Convolution::bind(source, format_args!("conv_in"), inner, COLORS, 3)?;
        let mut layers = Vec::new();
        // All halvings but the first, then one layer at the side that is left.
        for number in 0..config.halvings {
            let grid = if number + 1 < config.halvings { Grid::Halved } else { Grid::Same };
            let outer = config.channels_after(number + 2);
            layers.push(Layer::bind(source, format_args!("layers.{number}"), outer, inner, grid)?);
            inner = outer;
        }
        let last = Convolution::bind(source, format_args!("conv_out"), 1, inner, 3)?;
        Ok(Self { config, first, layers, last })
    }
}

impl<'w, B: Device> Layer<'w, B> {
    fn bind<W: Source<'w, B>>(
        source: &mut W,
        name: fmt::Arguments<'_>,
        outer: usize,
        inner: usize,
        grid: Grid,
    ) -> Result<Self, W::Error> {
        let convolution = Convolution::bind(source, format_args!("{name}.conv"), outer, inner, 3)?;
        let weight = source.vector(format_args!("{name}.norm.weight"), &[outer])?;
        let bias = source.vector(format_args!("{name}.norm.bias"), &[outer])?;
        Ok(Self { convolution, weight, bias, grid })
    }
}

impl<B: PerceptualBackend> Discriminator<'_, B> {
    /// How real each patch of each image looks: above 0 real, below made.
    ///
    /// `pictures`: `batch × height × width × 3`, the sides multiples of `2^halvings`. `out`:
    /// [`DiscriminatorConfig::judgments`].
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If a slice is not as large as `maps` says.
    pub fn forward(
        &self,
        b: &B,
        out: &mut B::Slice,
        pictures: &B::Slice,
        maps: FeatureShape,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let mut arena = arena.scope();
        let (mut maps, mut channels) = (halved(maps), self.first.outer());
        let whole = FeatureShape { height: 2 * maps.height, width: 2 * maps.width, ..maps };
        let sum = arena.take(maps.cells() * channels);
        self.first.forward(b, sum, pictures, None, Grid::Halved, whole, &mut arena)?;
        let mut x = arena.take(sum.len());
        b.map(x, sum, LEAKY_RELU)?;
        for layer in &self.layers {
            let before = maps;
            if layer.grid == Grid::Halved {
                maps = halved(maps);
            }
            channels = layer.convolution.outer();
            let length = maps.cells() * channels;
            let (sum, normal) = (arena.take(length), arena.take(length));
            layer.convolution.forward(b, sum, x, None, layer.grid, before, &mut arena)?;
            let d = group_norm::Dims {
                batch: maps.batch,
                positions: maps.height * maps.width,
                channels,
                groups: channels / GROUP,
            };
            let (weight, bias) = (layer.weight, layer.bias);
            b.group_norm(normal, sum, weight, bias, EPS, Activation::None, d)?;
            x = arena.take(length);
            b.map(x, normal, LEAKY_RELU)?;
        }
        self.last.forward(b, out, x, None, Grid::Same, maps, &mut arena)
    }

    /// Its sizes.
    pub fn config(&self) -> DiscriminatorConfig {
        self.config
    }
}

fn halved(maps: FeatureShape) -> FeatureShape {
    FeatureShape { height: maps.height / 2, width: maps.width / 2, ..maps }
}

/// The tensors of a discriminator of these sizes.
pub fn tensors(config: DiscriminatorConfig) -> Vec<Wanted> {
    let mut listing = Listing::default();
    let Ok(_) = Discriminator::<Dry<'_, Cpu<'_>>>::bind(&mut listing, config);
    listing.wanted
}
