//! Sizes of a model: parsed once, so always valid.

use core::fmt;
use core::ops::Range;

use crate::ops::nearest_code::Distance;

/// The longest ladder.
pub const MAX_SCALES: usize = 32;
/// The longest side of a token map.
pub const LONGEST_SIDE: usize = 1024;
/// The most resolutions of a VQVAE.
pub const MAX_LEVELS: usize = 8;

/// Side lengths of the token maps, coarsest first.
///
/// ```
/// use var_kernel::Ladder;
///
/// let ladder = Ladder::named("256").expect("a published ladder");
/// assert_eq!((ladder.scales(), ladder.length(), ladder.finest()), (10, 680, 16));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ladder {
    sides: [usize; MAX_SCALES],
    scales: usize,
}

impl Ladder {
    /// The ladder of these sides.
    ///
    /// # Errors
    /// If there are none or more than [`MAX_SCALES`], if they do not ascend, or if one is 0 or
    /// above [`LONGEST_SIDE`].
    pub fn new(sides: &[usize]) -> Result<Self, ConfigError> {
        if !(1..=MAX_SCALES).contains(&sides.len()) {
            return Err(ConfigError::Scales { has: sides.len() });
        }
        for (scale, side) in sides.iter().enumerate() {
            let least = if scale == 0 { 1 } else { sides[scale - 1] + 1 };
            if !(least..=LONGEST_SIDE).contains(side) {
                return Err(ConfigError::Side { scale, has: *side, least });
            }
        }
        let mut ladder = Self { sides: [0; MAX_SCALES], scales: sides.len() };
        ladder.sides[..sides.len()].copy_from_slice(sides);
        Ok(ladder)
    }

    /// The published ladder called `256`, `512` or `1024`, after the side of its images.
    pub fn named(name: &str) -> Option<Self> {
        let sides: &[usize] = match name {
            "256" => &[1, 2, 3, 4, 5, 6, 8, 10, 13, 16],
            "512" => &[1, 2, 3, 4, 6, 9, 13, 18, 24, 32],
            "1024" => &[1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64],
            _ => return None,
        };
        Self::new(sides).ok()
    }

    /// Side lengths, coarsest first.
    pub fn sides(&self) -> &[usize] {
        &self.sides[..self.scales]
    }

    /// How many scales, K.
    pub fn scales(&self) -> usize {
        self.scales
    }

    /// Cells of scale `scale`.
    pub fn cells(&self, scale: usize) -> usize {
        self.sides[scale] * self.sides[scale]
    }

    /// Cells of all scales, L.
    pub fn length(&self) -> usize {
        self.sides().iter().map(|side| side * side).sum()
    }

    /// Which of the L cells are those of `scale`.
    pub fn range(&self, scale: usize) -> Range<usize> {
        let start = self.sides[..scale].iter().map(|side| side * side).sum();
        start..start + self.cells(scale)
    }

    /// The end of each scale's range, and L for scales there are none of.
    pub fn ends(&self) -> [usize; MAX_SCALES] {
        core::array::from_fn(|scale| self.range(scale.min(self.scales - 1)).end)
    }

    /// The side of the finest map.
    pub fn finest(&self) -> usize {
        self.sides[self.scales - 1]
    }
}

/// `1_2_3_4`
impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (scale, side) in self.sides().iter().enumerate() {
            let separator = if scale == 0 { "" } else { "_" };
            write!(f, "{separator}{side}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ladder({self})")
    }
}

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
    /// A ladder of no scales, or of too many.
    Scales {
        /// How many it has.
        has: usize,
    },
    /// A side that is not above the one before, or too long.
    Side {
        /// Of which scale.
        scale: usize,
        /// The side.
        has: usize,
        /// The least it may be.
        least: usize,
    },
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
            Self::Scales { has } => write!(f, "a ladder has 1 to {MAX_SCALES} scales, not {has}"),
            Self::Side { scale, has, least } => write!(
                f,
                "the ladder's scale {scale} has side {has}, which is not in {least}..={LONGEST_SIDE}"
            ),
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

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn published_ladders_have_their_lengths() {
        let length = |name| Ladder::named(name).map(|ladder| ladder.length());
        assert_eq!(
            [length("256"), length("512"), length("1024")],
            [Some(680), Some(2240), Some(9451)]
        );
        assert_eq!(length("2048"), None);
    }

    #[test]
    fn ladder_knows_where_its_scales_are() {
        let ladder = Ladder::new(&[1, 2, 4]).unwrap();
        assert_eq!(ladder.range(2), 5..21);
        assert_eq!(ladder.ends()[..3], [1, 5, 21]);
        assert_eq!(ladder.to_string(), "1_2_4");
    }

    #[test]
    fn ladders_that_do_not_ascend_are_refused() {
        for sides in [&[][..], &[0], &[1, 1], &[2, 1], &[1, 5000], &[1; 33]] {
            assert!(Ladder::new(sides).is_err(), "{sides:?}");
        }
    }
}
