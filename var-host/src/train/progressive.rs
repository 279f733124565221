//! Progressive training: the coarse scales first, the finer ones one after the other.

use var_kernel::model::Ladder;

/// When the scales come (`--pg`, `--pg0`, `--pgwp`; MODEL.md, section 7).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progressive {
    /// The newest scale until the warm-up ends, counted from 0.
    pub first: usize,
    /// Iterations of the warm-up; a fraction counts, as in the published trainer.
    pub warmup: f64,
    /// The iteration from which all scales are learned; the first that is no less, if it is a fraction.
    pub complete: f64,
    /// Iterations over which a new scale gains its weight; a fraction counts.
    pub rise: f64,
}

/// Scales and weights of the loss at an iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProgressiveStage {
    /// How many scales are learned.
    pub scales: usize,
    /// Weight of the newest among them, 0.01 to 1.
    pub newest: f32,
}

impl ProgressiveStage {
    /// All of `ladder`, all alike.
    pub fn whole(ladder: &Ladder) -> Self {
        Self { scales: ladder.scales(), newest: 1.0 }
    }

    /// The weight of each position's loss in that of an image: `1 / L`, times [`ProgressiveStage::newest`] on
    /// the newest scale; L counts the positions of all scales, learned or not.
    pub fn weights(&self, ladder: &Ladder) -> Vec<f32> {
        let newest = ladder.range(self.scales - 1);
        let each = 1.0 / ladder.length() as f32;
        let weight = |i| if newest.contains(&i) { self.newest * each } else { each };
        (0..newest.end).map(weight).collect()
    }
}

impl Progressive {
    /// The stage at `iteration` of a run on `ladder`.
    ///
    /// Until the warm-up ends the newest scale is [`first`](Self::first), from
    /// [`complete`](Self::complete) on the last; between them it is
    /// `first + round(progress · (last − first))`, a half to the even number. Its weight grows from
    /// 0.01 to 1 over [`rise`](Self::rise) iterations, but for that of the first stage and of all
    /// scales together.
    pub fn stage(&self, iteration: u64, ladder: &Ladder) -> ProgressiveStage {
        let last = ladder.scales() - 1;
        let newest = self.newest(iteration, last);
        if newest == last || newest == self.newest(0, last) {
            return ProgressiveStage { scales: newest + 1, newest: 1.0 };
        }
        // The newest scale never falls back: the iteration at which it came is found by halving.
        let (mut before, mut since) = (0, iteration);
        while since - before > 1 {
            let middle = before + (since - before) / 2;
            if self.newest(middle, last) == newest { since = middle } else { before = middle }
        }
        let seen = (iteration - since + 1) as f64;
        let weight = if self.rise > 0.0 { (seen / self.rise).clamp(0.01, 1.0) } else { 1.0 };
        ProgressiveStage { scales: newest + 1, newest: weight as f32 }
    }

    fn newest(&self, iteration: u64, last: usize) -> usize {
        let (first, iteration) = (self.first.min(last), iteration as f64);
        if iteration <= self.warmup {
            first
        } else if iteration >= self.complete {
            last
        } else {
            let passed = (iteration - self.warmup) / (self.complete - self.warmup);
            first + (passed * (last - first) as f64).round_ties_even() as usize
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RUN: Progressive = Progressive { first: 4, warmup: 20.0, complete: 120.0, rise: 8.0 };

    fn ladder() -> Ladder {
        Ladder::named("256").expect("a published ladder")
    }

    #[test]
    fn scales_come_one_after_the_other() {
        let scales = |iteration| RUN.stage(iteration, &ladder()).scales;
        assert_eq!([0, 20, 30, 31, 119, 120, 500].map(scales), [5, 5, 5, 6, 10, 10, 10]);
    }

    #[test]
    fn new_scale_gains_its_weight() {
        // 4 + round(5 · p) is 5 from p > 0.1 on: iteration 31, the first with that newest scale.
        let weight = |iteration| RUN.stage(iteration, &ladder()).newest;
        assert_eq!([0, 20, 30, 31, 32, 38, 39].map(weight), [1.0, 1.0, 1.0, 0.125, 0.25, 1.0, 1.0]);
        let slow = Progressive { rise: 1000.0, ..RUN };
        assert_eq!(slow.stage(31, &ladder()).newest, 0.01);
        assert_eq!(slow.stage(120, &ladder()).newest, 1.0);
    }

    #[test]
    fn stage_lengths_keep_their_fractions() {
        let ladder = ladder();
        // 0.6 of 15 iterations are 9, not 10 as they are with a rounded 0.6.
        let run = Progressive { first: 4, warmup: 0.3, complete: 0.6 * 15.0, rise: 2.5 };
        let stages: Vec<ProgressiveStage> =
            (0..15).map(|iteration| run.stage(iteration, &ladder)).collect();
        // 4 + round(5 · (i − 0.3) / 8.7), a half to the even number.
        let scales = [5, 5, 6, 7, 7, 8, 8, 9, 9, 10, 10, 10, 10, 10, 10];
        assert_eq!(stages.iter().map(|stage| stage.scales).collect::<Vec<_>>(), scales);
        let newest = [1.0, 1.0, 0.4, 0.4, 0.8, 0.4, 0.8, 0.4, 0.8, 1.0];
        assert_eq!(stages[..10].iter().map(|stage| stage.newest).collect::<Vec<_>>(), newest);
    }

    #[test]
    fn weights_are_of_all_positions() {
        let ladder = Ladder::new(&[1, 2, 3]).expect("a ladder");
        let stage = ProgressiveStage { scales: 2, newest: 0.5 };
        let each = 1.0 / 14.0;
        assert_eq!(stage.weights(&ladder), [each, 0.5 * each, 0.5 * each, 0.5 * each, 0.5 * each]);
        assert_eq!(ProgressiveStage::whole(&ladder).weights(&ladder), vec![each; 14]);
    }

    proptest! {
        #[test]
        fn stage_is_what_counting_says(
            first in 0_usize..12, warmup in 0_u64..9, length in 0_u64..60, rise in 0_u64..9,
        ) {
            let run = Progressive {
                first,
                warmup: warmup as f64,
                complete: (warmup + length) as f64,
                rise: rise as f64,
            };
            let ladder = ladder();
            let (mut scales, mut seen, mut stages) = (0, 0_u64, 0);
            for iteration in 0..80 {
                let stage = run.stage(iteration, &ladder);
                prop_assert!(stage.scales >= scales);
                if stage.scales != scales {
                    (scales, seen, stages) = (stage.scales, 0, stages + 1);
                }
                seen += 1;
                let ramp = stages > 1 && scales < ladder.scales() && rise > 0;
                let want = if ramp { (seen as f64 / rise as f64).clamp(0.01, 1.0) as f32 } else { 1.0 };
                prop_assert_eq!(stage.newest, want);
            }
        }
    }
}
