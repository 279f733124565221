//! The random numbers: a counter-based generator, so that every draw has a number of its own
//! whatever the batch, the order and the machine.

/// Where a draw's uniform number comes from.
#[derive(Clone, Copy, Debug)]
pub enum UniformSource<'a> {
    /// [`Philox`] with this seed.
    Seed(u64),
    /// No number: the most likely token.
    Greedy,
    /// These numbers in 0 .. 1: one for each cell of each image, in the order of the tokens.
    Given(&'a [f32]),
}

/// Philox4x32 with ten rounds (Salmon and others, "Parallel Random Numbers: As Easy as 1, 2, 3",
/// 2011).
#[derive(Clone, Copy, Debug)]
pub struct Philox {
    key: [u32; 2],
}

/// The stream of token draws.
const TOKENS: u32 = 0;
/// The first stream of Gumbel noise; each serves four codes.
const NOISE: u32 = 1;
/// The stream of labels drawn when none is given.
const LABELS: u32 = u32::MAX;

impl Philox {
    /// The generator with the low and the high half of `seed` as its key.
    pub fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32] }
    }

    /// The four words at `counter`.
    pub fn words(self, counter: [u32; 4]) -> [u32; 4] {
        const ROUNDS: usize = 10;
        const MULTIPLIERS: [u64; 2] = [0xd251_1f53, 0xcd9e_8d57];
        const KEY_STEPS: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
        let (mut c, mut key) = (counter, self.key);
        for _ in 0..ROUNDS {
            let a = MULTIPLIERS[0] * u64::from(c[0]);
            let b = MULTIPLIERS[1] * u64::from(c[2]);
            c = [
                (b >> 32) as u32 ^ c[1] ^ key[0],
                b as u32,
                (a >> 32) as u32 ^ c[3] ^ key[1],
                a as u32,
            ];
            key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
        }
        c
    }

    /// The uniform number in 0 .. 1 that draws the token at `position` of `scale` of `image`.
    pub fn token(self, image: u32, scale: u32, position: u32) -> f32 {
        uniform(self.words([position, scale, image, TOKENS])[0])
    }

    /// The uniform number in 0 .. 1 behind the Gumbel noise of `code` there.
    pub fn noise(self, image: u32, scale: u32, position: u32, code: u32) -> f32 {
        let words = self.words([position, scale, image, NOISE + code / 4]);
        uniform(words[code as usize % 4])
    }

    /// The label of `image`, uniform over `classes`, when none is asked for.
    pub fn label(self, image: u32, classes: u32) -> u32 {
        let u = uniform(self.words([0, 0, image, LABELS])[0]);
        ((f64::from(u) * f64::from(classes)) as u32).min(classes.saturating_sub(1))
    }
}

/// The upper 24 bits of a word as a number in 0 .. 1.
fn uniform(word: u32) -> f32 {
    (word >> 8) as f32 / 16_777_216.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the authors' own list of known answers.
    #[test]
    fn known_answers() {
        assert_eq!(
            Philox::new(0).words([0; 4]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            Philox::new(u64::MAX).words([u32::MAX; 4]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
    }

    #[test]
    fn streams_are_pinned() {
        // Other numbers would make every seeded run another one.
        let random = Philox::new(7);
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, 7].map(|image| random.label(image, 1000)),
            [564, 617, 702, 890, 33, 938, 711, 68]
        );
        assert_eq!([random.token(3, 2, 1), random.token(1, 2, 3)], [0.827_139_14, 0.715_413_75]);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|code| random.noise(3, 2, 1, code)),
            [0.928_579_8, 0.825_484_7, 0.787_962_26, 0.797_857_3, 0.253_470_42]
        );
    }

    #[test]
    fn labels_are_uniform_over_the_classes() {
        let mut counts = [0_i32; 5];
        for image in 0..5000 {
            counts[Philox::new(7).label(image, 5) as usize] += 1;
        }
        // 1000 each, ± 5 standard deviations.
        assert!(counts.iter().all(|count| (count - 1000).abs() < 142), "{counts:?}");
    }

    #[test]
    fn labels_stay_inside_the_classes() {
        for image in 0..1000 {
            assert!(Philox::new(7).label(image, 3) < 3);
        }
    }
}
