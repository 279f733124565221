//! The two networks as flat lists of stages, in the order an image passes them.

use core::fmt;

use super::res_block::ResBlock;
use super::spatial_attention::SpatialAttention;
use crate::arena::Arena;
use crate::memory::Device;
use crate::model::config::VqvaeConfig;
use crate::model::weights::{Convolution, FeatureShape, Source};
use crate::ops::Backend;
use crate::ops::conv2d::Grid;
use crate::storage::{List, Storage};

/// Which of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoderKind {
    /// Image → latent.
    Encoder,
    /// Latent → image.
    Decoder,
}

/// One step of an encoder or decoder.
pub enum Stage<'a, B: Device> {
    /// Residual block.
    ResBlock(ResBlock<'a, B>),
    /// Attention over the map.
    Attention(SpatialAttention<'a, B>),
    /// Half the side.
    Downsample(Convolution<'a, B>),
    /// Twice the side.
    Upsample(Convolution<'a, B>),
}

impl<'a, B: Device> Stage<'a, B> {
    /// Takes the weights of all stages of a network from `source`, in order.
    pub(super) fn bind_all<'l, W: Source<'a, B>>(
        source: &mut W,
        config: &VqvaeConfig,
        kind: CoderKind,
        storage: &mut Storage<'l>,
    ) -> Result<List<'l, Self>, W::Error> {
        let coarsest = config.multipliers.as_slice().len() - 1;
        let stages = storage.list(Self::count(config, kind));
        let mut list = StageList { source, stages, channels: config.channels };
        match kind {
            CoderKind::Encoder => {
                for level in 0..=coarsest {
                    let name = format_args!("encoder.down.{level}");
                    let (channels, blocks) = (config.channels_at(level), config.encoder_blocks);
                    list.level(name, blocks, channels, level == coarsest)?;
                    if level < coarsest {
                        list.resample(format_args!("{name}.downsample"), Stage::Downsample)?;
                    }
                }
                list.middle("encoder")?;
            }
            CoderKind::Decoder => {
                list.channels = config.channels_at(coarsest);
                list.middle("decoder")?;
                for level in (0..=coarsest).rev() {
                    let name = format_args!("decoder.up.{level}");
                    let (channels, blocks) = (config.channels_at(level), config.decoder_blocks);
                    list.level(name, blocks, channels, level == coarsest)?;
                    if level > 0 {
                        list.resample(format_args!("{name}.upsample"), Stage::Upsample)?;
                    }
                }
            }
        }
        Ok(list.stages)
    }

    /// Number of stages of a network.
    pub(super) fn count(config: &VqvaeConfig, kind: CoderKind) -> usize {
        let levels = config.multipliers.as_slice().len();
        let blocks = match kind {
            CoderKind::Encoder => config.encoder_blocks,
            CoderKind::Decoder => config.decoder_blocks,
        };
        // Blocks of each level, resampling between levels, attention at the coarsest, the middle.
        levels * blocks + (levels - 1) + blocks + 3
    }

    /// The grid and the channels that come out.
    pub(super) fn out(&self, maps: FeatureShape, channels: usize) -> (FeatureShape, usize) {
        let FeatureShape { batch, height, width } = maps;
        match self {
            Self::ResBlock(block) => (maps, block.outer()),
            Self::Attention(_) => (maps, channels),
            Self::Downsample(_) => {
                (FeatureShape { batch, height: height / 2, width: width / 2 }, channels)
            }
            Self::Upsample(_) => {
                (FeatureShape { batch, height: 2 * height, width: 2 * width }, channels)
            }
        }
    }
}

impl<B: Backend> Stage<'_, B> {
    /// This step: `x` on the grid `maps` → `out`.
    pub(super) fn forward(
        &self,
        b: &B,
        out: &mut B::Slice,
        x: &B::Slice,
        maps: FeatureShape,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        match self {
            Self::ResBlock(block) => block.forward(b, out, x, maps, arena),
            Self::Attention(attention) => attention.forward(b, out, x, maps, arena),
            Self::Downsample(conv) => conv.forward(b, out, x, None, Grid::Halved, maps, arena),
            Self::Upsample(conv) => conv.forward(b, out, x, None, Grid::Doubled, maps, arena),
        }
    }
}

/// Floats of the largest map between stages, from `channels` on the grid `maps` on.
pub(super) fn largest<B: Device>(
    stages: &[Stage<'_, B>],
    channels: usize,
    maps: FeatureShape,
) -> usize {
    let (mut maps, mut channels) = (maps, channels);
    let mut largest = maps.cells() * channels;
    for stage in stages {
        (maps, channels) = stage.out(maps, channels);
        largest = largest.max(maps.cells() * channels);
    }
    largest
}

/// A list of stages in the making.
struct StageList<'s, 'l, 'a, B: Device, W> {
    source: &'s mut W,
    stages: List<'l, Stage<'a, B>>,
    /// Channels that come out of the last stage so far.
    channels: usize,
}

impl<'a, B: Device, W: Source<'a, B>> StageList<'_, '_, 'a, B, W> {
    /// The blocks of one resolution, each followed by attention if `attends`.
    fn level(
        &mut self,
        name: fmt::Arguments<'_>,
        blocks: usize,
        channels: usize,
        attends: bool,
    ) -> Result<(), W::Error> {
        for number in 0..blocks {
            self.block(format_args!("{name}.block.{number}"), channels)?;
            if attends {
                self.attention(format_args!("{name}.attn.{number}"))?;
            }
        }
        Ok(())
    }

    /// Block, attention, block at the lowest resolution.
    fn middle(&mut self, network: &str) -> Result<(), W::Error> {
        self.block(format_args!("{network}.mid.block_1"), self.channels)?;
        self.attention(format_args!("{network}.mid.attn_1"))?;
        self.block(format_args!("{network}.mid.block_2"), self.channels)
    }

    fn block(&mut self, name: fmt::Arguments<'_>, channels: usize) -> Result<(), W::Error> {
        let block = ResBlock::bind(self.source, name, self.channels, channels)?;
        self.channels = channels;
        self.stages.push(Stage::ResBlock(block));
        Ok(())
    }

    fn attention(&mut self, name: fmt::Arguments<'_>) -> Result<(), W::Error> {
        let attention = SpatialAttention::bind(self.source, name, self.channels)?;
        self.stages.push(Stage::Attention(attention));
        Ok(())
    }

    fn resample(
        &mut self,
        name: fmt::Arguments<'_>,
        stage: impl FnOnce(Convolution<'a, B>) -> Stage<'a, B>,
    ) -> Result<(), W::Error> {
        let channels = self.channels;
        let conv =
            Convolution::bind(self.source, format_args!("{name}.conv"), channels, channels, 3)?;
        self.stages.push(stage(conv));
        Ok(())
    }
}
