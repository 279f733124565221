//! VGG16 as far as LPIPS looks at it, on any backend.

use var_kernel::arena::Arena;
use var_kernel::memory::{Device, Floats};
use var_kernel::model::vqvae::COLORS;
use var_kernel::model::weights::{Convolution, FeatureShape, Source};
use var_kernel::ops::conv2d::Grid;
use var_kernel::ops::elementwise::Unary;
use var_kernel::ops::pool::{self, Pooling};
use var_kernel::ops::{PerceptualBackend, feature_distance};

/// The convolutions of VGG16 by their place among its layers, in stages with pooling between; the
/// last of each stage is compared.
pub(super) const STAGES: [&[usize]; 5] =
    [&[0, 2], &[5, 7], &[10, 12, 14], &[17, 19, 21], &[24, 26, 28]];

/// The shortest side that is still a cell at the last stage.
pub const SHORTEST_SIDE: usize = 1 << (STAGES.len() - 1);

/// Channels of each stage; of VGG16 64, 128, 256, 512, 512.
pub type Channels = [usize; STAGES.len()];

/// Features of all stages, channels last.
pub type LpipsFeatures<'m, S> = [&'m mut S; STAGES.len()];

/// The network and the weights of its channels.
pub struct LpipsNetwork<'w, B: Device> {
    /// Takes the mean off each color and divides by its deviation: a 1 × 1 convolution, for the zeros
    /// around an image are those of the next layer's input.
    scaling: Convolution<'w, B>,
    stages: [VggStage<'w, B>; STAGES.len()],
}

struct VggStage<'w, B: Device> {
    convolutions: Vec<Convolution<'w, B>>,
    /// Weight of each channel's difference.
    head: &'w B::Slice,
}

impl<'w, B: Device> LpipsNetwork<'w, B> {
    /// Takes the weights from `source`: `features.N` as in torchvision's VGG16, `linK.model.1.weight`
    /// as in LPIPS v0.1, and `scaling`.
    ///
    /// # Errors
    /// The source's.
    pub fn bind<W: Source<'w, B>>(source: &mut W, channels: Channels) -> Result<Self, W::Error> {
        let scaling = Convolution::bind(source, format_args!("scaling"), COLORS, COLORS, 1)?;
        let (mut stages, mut inner) = (Vec::new(), COLORS);
        for (number, (layers, outer)) in STAGES.into_iter().zip(channels).enumerate() {
            let mut convolutions = Vec::new();
            for layer in layers {
                let name = format_args!("features.{layer}");
                convolutions.push(Convolution::bind(source, name, outer, inner, 3)?);
                inner = outer;
            }
            let name = format_args!("lin{number}.model.1.weight");
            stages.push(VggStage { convolutions, head: source.vector(name, &[1, outer, 1, 1])? });
        }
        let stages = stages.try_into().ok().expect("as many stages as there are");
        Ok(Self { scaling, stages })
    }
}

impl<B: Device> LpipsNetwork<'_, B> {
    /// Channels of each stage.
    pub fn channels(&self) -> Channels {
        core::array::from_fn(|number| self.stages[number].outer())
    }
}

impl<B: PerceptualBackend> LpipsNetwork<'_, B> {
    /// Memory for the features of images.
    pub fn room_for_features<'m>(
        &self,
        maps: FeatureShape,
        arena: &mut Arena<'m, B::Slice>,
    ) -> LpipsFeatures<'m, B::Slice> {
        let lengths = self.grids(maps).map(|(maps, channels)| maps.cells() * channels);
        lengths.map(|length| arena.take(length))
    }

    /// The features of images in [−1, 1].
    ///
    /// `pictures`: `batch × height × width × 3`. `out`: as [`LpipsNetwork::room_for_features`] makes it.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If a slice is not as large as `maps` says.
    pub fn features(
        &self,
        b: &B,
        out: &mut LpipsFeatures<'_, B::Slice>,
        pictures: &B::Slice,
        maps: FeatureShape,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let mut arena = arena.scope();
        let scaled = arena.take(maps.cells() * COLORS);
        self.scaling.forward(b, scaled, pictures, None, Grid::Same, maps, &mut arena)?;
        let grids = self.grids(maps);
        for (number, stage) in self.stages.iter().enumerate() {
            let mut arena = arena.scope();
            let (before, from_here) = out.split_at_mut(number);
            let pooled = match before.last() {
                None => &*scaled,
                Some(features) => {
                    let (FeatureShape { batch, height, width }, channels) = grids[number - 1];
                    let d = pool::Dims::halving(batch, height, width, channels);
                    let pooled = arena.take(d.out_len());
                    b.pool(pooled, features, Pooling::Max, d)?;
                    pooled
                }
            };
            stage.forward(b, from_here[0], pooled, grids[number].0, &mut arena)?;
        }
        Ok(())
    }

    /// The distance of each image's features from others; see [`super::Lpips::distance`].
    ///
    /// `out`: `batch`. A gradient goes to `features` alone.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If a slice is not as large as `maps` says.
    pub fn distance(
        &self,
        b: &B,
        out: &mut B::Slice,
        features: &LpipsFeatures<'_, B::Slice>,
        others: &LpipsFeatures<'_, B::Slice>,
        maps: FeatureShape,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let mut arena = arena.scope();
        let parts = [(); STAGES.len()].map(|()| arena.take(maps.batch));
        for (number, (maps, channels)) in self.grids(maps).into_iter().enumerate() {
            let (batch, cells) = (maps.batch, maps.height * maps.width);
            let d = feature_distance::Dims { batch, cells, channels };
            let head = self.stages[number].head;
            b.feature_distance(parts[number], features[number], others[number], head, d)?;
        }
        let [first, second, third, fourth, fifth] = parts;
        let mut add = |a: &B::Slice, part: &B::Slice| {
            let sum = arena.take(maps.batch);
            b.blend(sum, (a, 1.0), (part, 1.0)).map(|()| sum)
        };
        let two = add(first, second)?;
        let three = add(two, third)?;
        let four = add(three, fourth)?;
        b.blend(out, (four, 1.0), (fifth, 1.0))
    }

    /// The grid and the channels of each stage.
    fn grids(&self, maps: FeatureShape) -> [(FeatureShape, usize); STAGES.len()] {
        let FeatureShape { batch, height, width } = maps;
        core::array::from_fn(|number| {
            let maps = FeatureShape { batch, height: height >> number, width: width >> number };
            (maps, self.stages[number].outer())
        })
    }
}

impl<B: Device> VggStage<'_, B> {
    fn outer(&self) -> usize {
        self.convolutions[0].outer()
    }
}

impl<B: PerceptualBackend> VggStage<'_, B> {
    /// Convolutions, each with ReLU: `x` → `out`.
    fn forward(
        &self,
        b: &B,
        out: &mut B::Slice,
        x: &B::Slice,
        maps: FeatureShape,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let length = out.len();
        let (mut sum, mut hidden) = (arena.take(length), arena.take(length));
        let (last, before) = self.convolutions.split_last().expect("a stage has convolutions");
        let mut x = x;
        for convolution in before {
            convolution.forward(b, sum, x, None, Grid::Same, maps, arena)?;
            hidden = arena.instead_of(hidden, length);
            b.map(hidden, sum, Unary::RELU)?;
            sum = arena.instead_of(sum, length);
            x = &*hidden;
        }
        last.forward(b, sum, x, None, Grid::Same, maps, arena)?;
        b.map(out, sum, Unary::RELU)
    }
}
