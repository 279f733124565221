//! Sizes of a model: parsed once, so always valid.

use core::fmt;

use super::ladder::{Ladder, LadderError, MAX_SCALES};
use crate::ops::nearest_code::Distance;

/// The most resolutions of a VQVAE.
pub const MAX_LEVELS: usize = 8;

/// Sizes of a transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VarConfig {
    /// Blocks.
    pub depth: usize,
    /// Width of a row, C.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width inside the feed-forward network.
    pub hidden: usize,
    /// Classes, without the null class.
    pub classes: usize,
    /// Rows of the codebook, V.
    pub codes: usize,
    /// Width of a code, Z.
    pub latent: usize,
    /// The token maps.
    pub ladder: Ladder,
    /// Whether queries and keys are made unit length.
    pub unit_length: bool,
    /// Whether all blocks share one projection of the condition.
    pub shared_modulation: bool,
}

impl VarConfig {
    /// Refuses sizes that make no model.
    ///
    /// # Errors
    /// Names the first size that does not fit.
    pub fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("depth", self.depth, 4096),
            ("width", self.width, 1 << 20),
            ("heads", self.heads, 1 << 16),
            ("hidden", self.hidden, 1 << 22),
            ("classes", self.classes, 1 << 24),
            ("codes", self.codes, crate::ops::sample_tokens::MAX_CODES),
            ("latent", self.latent, 1 << 16),
        ];
        check_sizes(&sizes)?;
        if !self.width.is_multiple_of(self.heads)
            || self.width / self.heads > crate::ops::attention::WIDEST_HEAD
        {
            return Err(ConfigError::Heads { width: self.width, heads: self.heads });
        }
        Ok(())
    }

    /// The label that stands for no class.
    pub fn null_class(&self) -> u32 {
        self.classes as u32
    }

    /// Width of a head.
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }
}

/// Which refinement convolution φ serves which scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refinement {
    /// One for all.
    Shared,
    /// So many, spread evenly over the ladder.
    Partial(usize),
    /// One each.
    PerScale,
}

/// Sizes of a VQVAE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VqvaeConfig {
    /// Rows of the codebook, V.
    pub codes: usize,
    /// Width of a code, Z.
    pub latent: usize,
    /// Channels at full resolution.
    pub channels: usize,
    /// Channels at each resolution as multiples of `channels`, finest first.
    pub multipliers: ChannelMultipliers,
    /// Residual blocks at each resolution of the encoder.
    pub encoder_blocks: usize,
    /// Residual blocks at each resolution of the decoder.
    pub decoder_blocks: usize,
    /// The token maps.
    pub ladder: Ladder,
    /// Which refinement serves which scale.
    pub refinement: Refinement,
    /// The convolution's share r in `φ(h) = (1 − r)·h + r·conv(h)`; 0 means φ changes nothing.
    pub refinement_ratio: f32,
    /// How the nearest code is found.
    pub distance: Distance,
}

/// Channel multipliers of each resolution, finest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelMultipliers {
    multipliers: [usize; MAX_LEVELS],
    levels: usize,
}

impl ChannelMultipliers {
    /// These multipliers.
    ///
    /// # Errors
    /// If there are none or more than [`MAX_LEVELS`], or one is 0 or above 64.
    pub fn new(multipliers: &[usize]) -> Result<Self, ConfigError> {
        if !(1..=MAX_LEVELS).contains(&multipliers.len()) {
            return Err(ConfigError::Size {
                what: "levels",
                has: multipliers.len(),
                most: MAX_LEVELS,
            });
        }
        let mut levels = Self { multipliers: [0; MAX_LEVELS], levels: multipliers.len() };
        for (to, from) in levels.multipliers.iter_mut().zip(multipliers) {
            check_sizes(&[("channel multiplier", *from, 64)])?;
            *to = *from;
        }
        Ok(levels)
    }

    /// The multipliers, finest resolution first.
    pub fn as_slice(&self) -> &[usize] {
        &self.multipliers[..self.levels]
    }
}

impl VqvaeConfig {
    /// Groups of every group normalization.
    pub const GROUPS: usize = 32;

    /// Refuses sizes that make no model.
    ///
    /// # Errors
    /// Names the first size that does not fit.
    pub fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("codes", self.codes, crate::ops::sample_tokens::MAX_CODES),
            ("latent", self.latent, 1 << 12),
            ("channels", self.channels, 1 << 12),
            ("encoder blocks", self.encoder_blocks, 64),
            ("decoder blocks", self.decoder_blocks, 64),
        ];
        check_sizes(&sizes)?;
        if !self.channels.is_multiple_of(Self::GROUPS) {
            return Err(ConfigError::Groups { channels: self.channels });
        }
        if self.channels_at(self.multipliers.levels - 1) > crate::ops::attention::WIDEST_HEAD {
            let heads = 1;
            return Err(ConfigError::Heads {
                width: self.channels_at(self.multipliers.levels - 1),
                heads,
            });
        }
        if let Refinement::Partial(count) = self.refinement {
            check_sizes(&[("refinements", count, MAX_SCALES)])?;
        }
        Ok(())
    }

    /// Cells of the image to one cell of the latent, along a side.
    pub fn downsampling(&self) -> usize {
        1 << (self.multipliers.levels - 1)
    }

    /// Side of the images.
    pub fn side(&self) -> usize {
        self.ladder.finest() * self.downsampling()
    }

    /// Channels at resolution `level`, 0 the finest.
    pub fn channels_at(&self, level: usize) -> usize {
        self.channels * self.multipliers.multipliers[level]
    }

    /// How many refinement convolutions there are; none if they would change nothing.
    pub fn refinements(&self) -> usize {
        match self.refinement {
            _ if self.refinement_ratio == 0.0 => 0,
            Refinement::Shared => 1,
            Refinement::Partial(count) => count,
            Refinement::PerScale => self.ladder.scales(),
        }
    }
}

fn check_sizes(sizes: &[(&'static str, usize, usize)]) -> Result<(), ConfigError> {
    for (what, has, most) in sizes {
        if !(1..=*most).contains(has) {
            return Err(ConfigError::Size { what, has: *has, most: *most });
        }
    }
    Ok(())
}

/// Sizes that make no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Sides that make no ladder.
    Ladder(LadderError),
    /// A size that is 0 or too large.
    Size {
        /// Which.
        what: &'static str,
        /// The size.
        has: usize,
        /// The most it may be.
        most: usize,
    },
    /// A width that does not divide into so many heads, or into too wide ones.
    Heads {
        /// The width.
        width: usize,
        /// The heads.
        heads: usize,
    },
    /// Channels that do not divide into the groups of the group normalization.
    Groups {
        /// The channels.
        channels: usize,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ladder(error) => error.fmt(f),
            Self::Size { what, has, most } => write!(f, "{what}: {has} is not in 1..={most}"),
            Self::Heads { width, heads } => write!(
                f,
                "a width of {width} does not make {heads} heads of at most {} each",
                crate::ops::attention::WIDEST_HEAD
            ),
            Self::Groups { channels } => {
                write!(f, "{channels} channels do not divide into {} groups", VqvaeConfig::GROUPS)
            }
        }
    }
}

impl core::error::Error for ConfigError {}

impl From<LadderError> for ConfigError {
    fn from(error: LadderError) -> Self {
        Self::Ladder(error)
    }
}
