//! The ladder: sides of the token maps.

use core::fmt;
use core::ops::Range;

/// The longest ladder.
pub const MAX_SCALES: usize = 32;
/// The longest side of a token map.
pub const LONGEST_SIDE: usize = 1024;

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
    pub fn new(sides: &[usize]) -> Result<Self, LadderError> {
        if !(1..=MAX_SCALES).contains(&sides.len()) {
            return Err(LadderError::Scales { has: sides.len() });
        }
        for (scale, side) in sides.iter().enumerate() {
            let least = if scale == 0 { 1 } else { sides[scale - 1] + 1 };
            if !(least..=LONGEST_SIDE).contains(side) {
                return Err(LadderError::Side { scale, has: *side, least });
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

/// Sides that make no ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LadderError {
    /// No scales, or of too many.
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
}

impl fmt::Display for LadderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Scales { has } => write!(f, "a ladder has 1 to {MAX_SCALES} scales, not {has}"),
            Self::Side { scale, has, least } => write!(
                f,
                "the ladder's scale {scale} has side {has}, which is not in {least}..={LONGEST_SIDE}"
            ),
        }
    }
}

impl core::error::Error for LadderError {}

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
