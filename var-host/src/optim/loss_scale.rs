//! The dynamic loss scale of half-precision training.

/// Factor of the loss before the backward pass, so that small gradients survive 16 bits.
///
/// (Micikevicius and others, "Mixed Precision Training", 2018.) After a step with gradients that are not
/// finite it is halved and the step is left out; after [`LossScale::INTERVAL`] good steps in a row it
/// doubles, up to [`LossScale::CEILING`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScale {
    /// The factor.
    pub factor: f32,
    /// Good steps since it last changed.
    pub good_steps: u32,
}

impl LossScale {
    /// The first factor, 2¹¹.
    pub const START: f32 = 2048.0;
    /// Good steps until it doubles.
    pub const INTERVAL: u32 = 1000;
    /// The greatest factor.
    pub const CEILING: f32 = 32768.0;

    /// A scale at its beginning.
    pub fn new() -> Self {
        Self { factor: Self::START, good_steps: 0 }
    }

    /// Records a step with finite gradients or not; returns whether it counts.
    pub fn update(&mut self, finite: bool) -> bool {
        if !finite {
            *self = Self { factor: self.factor * 0.5, good_steps: 0 };
        } else if self.good_steps + 1 == Self::INTERVAL {
            *self = Self { factor: (self.factor * 2.0).min(Self::CEILING), good_steps: 0 };
        } else {
            self.good_steps += 1;
        }
        finite
    }
}

impl Default for LossScale {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::LossScale;

    #[test]
    fn loss_scale_halves_at_once_and_doubles_with_patience() {
        let mut scale = LossScale::new();
        assert!(!scale.update(false));
        assert_eq!(scale.factor, 1024.0);
        for _ in 0..LossScale::INTERVAL {
            assert!(scale.update(true));
        }
        assert_eq!(scale, LossScale { factor: 2048.0, good_steps: 0 });
        for _ in 0..20 * LossScale::INTERVAL {
            scale.update(true);
        }
        assert_eq!(scale.factor, LossScale::CEILING);
    }
}
