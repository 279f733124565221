//! Class dropout and stochastic depth.
//!
//! Every number has a place of its own, whatever rank or part of a batch wants it: [`Philox`] with
//! the run's seed and the counter (image in the global batch, iteration, block, stream).
//!
//! | stream | block | words |
//! |---|---|---|
//! | 2³² − 15: class dropout | 0 | 0 |
//! | 2³² − 14: stochastic depth | its number | 0: attention, 1: feed-forward |

use var_kernel::sample::random::Philox;

/// The stream of class dropout.
const CLASSES: u32 = 0xffff_fff1;
/// The stream of stochastic depth.
const DEPTH: u32 = 0xffff_fff2;

/// Factors of a block's modulation, of which two are the gates'.
const PARTS: usize = 6;

/// How much is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share of images that lose their class, 0 to 1 (`--cond-drop`).
    pub classes: f64,
    /// Share of images that pass the last block's halves by; it grows in a straight line from 0 at
    /// the first block (`--drop-path`).
    pub depth: f64,
}

/// The images of a batch that a piece of work is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RngKey {
    /// Seed of the run.
    pub seed: u64,
    /// The iteration.
    pub iteration: u64,
    /// The first image's place in the global batch.
    pub first: usize,
}

impl RngKey {
    fn words(self, image: usize, block: usize, stream: u32) -> [u32; 4] {
        let place = (self.first + image) as u32;
        Philox::new(self.seed).words([place, self.iteration as u32, block as u32, stream])
    }
}

/// A number in 0 .. 1 from a word.
fn uniform(word: u32) -> f64 {
    f64::from(word >> 8) / f64::from(1 << 24)
}

impl Dropout {
    /// Gives some of `labels` the class `null`.
    pub fn drop_classes(&self, labels: &mut [u32], null: u32, key: RngKey) {
        for (image, label) in labels.iter_mut().enumerate() {
            if uniform(key.words(image, 0, CLASSES)[0]) < self.classes {
                *label = null;
            }
        }
    }

    /// Factors of the modulation of each block and image, `depth × images × 6`: those of the gates
    /// are `1 / kept` or 0, so that their mean is 1; none if nothing is left out.
    pub fn factors(&self, depth: usize, images: usize, key: RngKey) -> Option<Vec<f32>> {
        if self.depth == 0.0 {
            return None;
        }
        let mut factors = vec![1.0; depth * images * PARTS];
        for (place, factors) in factors.chunks_exact_mut(PARTS).enumerate() {
            let (block, image) = (place / images, place % images);
            let kept = 1.0 - self.depth * block as f64 / (depth - 1).max(1) as f64;
            let words = key.words(image, block, DEPTH);
            for (factor, word) in factors.iter_mut().zip(&words[..2]) {
                *factor = if uniform(*word) < kept { (1.0 / kept) as f32 } else { 0.0 };
            }
        }
        Some(factors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: RngKey = RngKey { seed: 7, iteration: 3, first: 0 };

    #[test]
    fn classes_are_dropped_as_often_as_asked_for() {
        let mut labels = vec![1; 10_000];
        Dropout { classes: 0.1, depth: 0.0 }.drop_classes(&mut labels, 9, KEY);
        let dropped = labels.iter().filter(|label| **label == 9).count();
        // 1000 ± 5 standard deviations.
        assert!(dropped.abs_diff(1000) < 150, "{dropped}");
        let mut labels = vec![1; 100];
        Dropout { classes: 0.0, depth: 0.0 }.drop_classes(&mut labels, 9, KEY);
        assert_eq!(labels, [1; 100]);
    }

    #[test]
    fn later_blocks_are_passed_by_more_often_and_the_mean_stays() {
        let (depth, images) = (5, 4000);
        let dropout = Dropout { classes: 0.0, depth: 0.4 };
        let factors = dropout.factors(depth, images, KEY).expect("some are left out");
        for (block, factors) in factors.chunks_exact(images * PARTS).enumerate() {
            let rate = 0.4 * block as f64 / 4.0;
            for half in 0..2 {
                let of_half = || factors.iter().skip(half).step_by(PARTS);
                let zeros = of_half().filter(|factor| **factor == 0.0).count() as f64;
                assert!((zeros / images as f64 - rate).abs() < 0.04, "block {block}: {zeros}");
                let mean = of_half().map(|x| f64::from(*x)).sum::<f64>() / images as f64;
                assert!((mean - 1.0).abs() < 0.07, "block {block}: mean {mean}");
            }
            assert!(factors.chunks_exact(PARTS).all(|row| row[2..] == [1.0; 4]));
        }
        assert_eq!(Dropout { classes: 0.5, depth: 0.0 }.factors(depth, images, KEY), None);
    }

    #[test]
    fn image_has_its_numbers_in_any_lot() {
        let dropout = Dropout { classes: 0.5, depth: 0.5 };
        let draw = |first, images| {
            let (mut labels, key) = (vec![0; images], RngKey { first, ..KEY });
            dropout.drop_classes(&mut labels, 1, key);
            (labels, dropout.factors(2, images, key).expect("some are left out"))
        };
        let (whole, of_whole) = draw(0, 6);
        let (part, of_part) = draw(4, 2);
        assert_eq!(part, whole[4..]);
        for block in 0..2 {
            let (part, whole) = (&of_part[block * 12..][..12], &of_whole[block * 36..][24..36]);
            assert_eq!(part, whole);
        }
        assert_ne!(draw(0, 6), {
            let (mut labels, key) = (vec![0; 6], RngKey { iteration: 4, ..KEY });
            dropout.drop_classes(&mut labels, 1, key);
            (labels, dropout.factors(2, 6, key).expect("some are left out"))
        });
    }
}
