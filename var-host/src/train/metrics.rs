//! How well tokens are predicted: losses and hits, scale by scale.

use core::fmt;

use serde::Serialize;
use var_kernel::model::Ladder;

use super::transformer::TokenLosses;
use crate::parallel::{ProcessGroup, ProcessGroupError};

/// A code counts as used if it makes up more than this share of an even one's.
const USED: f64 = 0.001;

/// Sums over positions of many images.
#[derive(Clone, Debug)]
pub struct MetricAccumulator {
    ladder: Ladder,
    /// For each scale: its loss in nats, its hits, its positions.
    scales: Vec<[f64; 3]>,
    /// How often each code was the most likely one.
    predicted: Vec<f64>,
}

/// Averages from the sums.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(non_snake_case, reason = "the names of the log's fields")]
pub struct TokenMetrics {
    /// Mean loss over all positions, in nats.
    pub L_mean: f64,
    /// Mean loss over the positions of the last scale; none if it is not learned yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub L_tail: Option<f64>,
    /// Share of positions with the target as the most likely token, in %.
    pub acc_mean: f64,
    /// The same over the last scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acc_tail: Option<f64>,
}

/// The sums of each scale by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(non_snake_case, reason = "the names of the log's fields")]
pub struct ScaleMetrics {
    /// Mean loss of each scale, in nats.
    pub L_scale: Vec<f64>,
    /// Share of hits on each scale, in %.
    pub acc_scale: Vec<f64>,
    /// Share of the codes that are predicted at all, in %: those that are more than a thousandth of
    /// an even share of the predictions.
    pub codes_predicted: f64,
}

/// `L_mean 2.256 · L_tail 2.103 · acc 12.34 / 14.56 %`
impl fmt::Display for TokenMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { L_mean, L_tail, acc_mean, acc_tail } = self;
        match (L_tail, acc_tail) {
            (Some(tail), Some(acc_tail)) => write!(
                f,
                "L_mean {L_mean:.4} · L_tail {tail:.4} · acc {acc_mean:.2} / {acc_tail:.2} %"
            ),
            _ => write!(f, "L_mean {L_mean:.4} · acc {acc_mean:.2} %"),
        }
    }
}

impl MetricAccumulator {
    /// Nothing summed yet.
    pub fn new(ladder: Ladder, codes: usize) -> Self {
        Self { ladder, scales: vec![[0.0; 3]; ladder.scales()], predicted: vec![0.0; codes] }
    }

    /// Adds the `losses` of some images' `targets`, image by image the positions of the first `scales`
    /// scales.
    ///
    /// # Panics
    /// If there are no predictions, or other than whole images of those scales.
    pub fn add(&mut self, losses: &TokenLosses, targets: &[u32], scales: usize) {
        let length = self.ladder.range(scales - 1).end;
        let predicted = losses.predicted.as_ref().expect("predictions were asked for");
        let lengths = [losses.plain().len(), predicted.len()];
        assert_eq!(lengths, [targets.len(); 2], "tally: losses of other targets");
        assert!(targets.len().is_multiple_of(length), "tally: {} are not images", targets.len());
        let images = losses.plain().chunks_exact(length).zip(targets.chunks_exact(length));
        for ((losses, targets), predicted) in images.zip(predicted.chunks_exact(length)) {
            for scale in 0..scales {
                let range = self.ladder.range(scale);
                let [loss, hits, positions] = &mut self.scales[scale];
                for i in range {
                    *loss += f64::from(losses[i]);
                    *hits += f64::from(u8::from(predicted[i] == targets[i]));
                    *positions += 1.0;
                }
            }
            for code in predicted {
                self.predicted[*code as usize] += 1.0;
            }
        }
    }

    /// The sums of all ranks, on every rank.
    ///
    /// # Errors
    /// If the others cannot be reached.
    pub fn sum(&mut self, ranks: &dyn ProcessGroup) -> Result<(), ProcessGroupError> {
        let mut all: Vec<f64> = self.scales.as_flattened().to_vec();
        all.extend(&self.predicted);
        ranks.sum_f64(&mut all)?;
        let (scales, predicted) = all.split_at(3 * self.scales.len());
        self.scales.as_flattened_mut().copy_from_slice(scales);
        self.predicted.copy_from_slice(predicted);
        Ok(())
    }

    /// How many images there were.
    pub fn images(&self) -> u64 {
        (self.scales[0][2] / self.ladder.cells(0) as f64) as u64
    }

    /// Means over all scales and the last.
    pub fn report(&self) -> TokenMetrics {
        let mut all = [0.0; 3];
        for scale in &self.scales {
            all.iter_mut().zip(scale).for_each(|(all, of_scale)| *all += of_scale);
        }
        let tail = self.scales.last().filter(|[_, _, positions]| *positions > 0.0);
        let mean = |[loss, _, positions]: [f64; 3]| loss / positions;
        let share = |[_, hits, positions]: [f64; 3]| 100.0 * hits / positions;
        TokenMetrics {
            L_mean: mean(all),
            L_tail: tail.copied().map(mean),
            acc_mean: share(all),
            acc_tail: tail.copied().map(share),
        }
    }

    /// Means of each scale that has positions, and the codes predicted.
    pub fn details(&self) -> ScaleMetrics {
        let learned = || self.scales.iter().filter(|[_, _, positions]| *positions > 0.0);
        let all: f64 = self.predicted.iter().sum();
        let least = USED * all / self.predicted.len() as f64;
        let used = self.predicted.iter().filter(|count| **count > least).count();
        ScaleMetrics {
            L_scale: learned().map(|[loss, _, positions]| loss / positions).collect(),
            acc_scale: learned().map(|[_, hits, positions]| 100.0 * hits / positions).collect(),
            codes_predicted: 100.0 * used as f64 / self.predicted.len() as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_positions_not_scales() {
        let ladder = Ladder::new(&[1, 2]).expect("a ladder");
        let mut accumulator = MetricAccumulator::new(ladder, 8);
        let losses = TokenLosses {
            losses: vec![10.0, 1.0, 2.0, 3.0, 4.0],
            without_smoothing: None,
            predicted: Some(vec![7, 1, 2, 0, 0]),
        };
        accumulator.add(&losses, &[7, 1, 2, 3, 4], 2);
        let report = accumulator.report();
        assert_eq!((report.L_mean, report.L_tail), (4.0, Some(2.5)));
        assert_eq!((report.acc_mean, report.acc_tail), (60.0, Some(50.0)));
        let details = accumulator.details();
        assert_eq!((details.L_scale, details.acc_scale), (vec![10.0, 2.5], vec![100.0, 50.0]));
        assert_eq!(details.codes_predicted, 50.0);
        assert_eq!(accumulator.images(), 1);
    }

    #[test]
    fn report_of_ranks_is_of_the_images_of_all() {
        let of_rank = |loss| TokenLosses {
            losses: vec![loss],
            without_smoothing: None,
            predicted: Some(vec![loss as u32]),
        };
        let reports: Vec<TokenMetrics> = std::thread::scope(|scope| {
            let ranks = crate::parallel::ThreadGroup::new(2).into_iter().zip([1.0, 3.0]);
            let work = |(ranks, loss): (crate::parallel::ThreadGroup, f32)| -> TokenMetrics {
                let mut accumulator =
                    MetricAccumulator::new(Ladder::new(&[1]).expect("a ladder"), 4);
                accumulator.add(&of_rank(loss), &[3], 1);
                accumulator.sum(&ranks).unwrap();
                assert_eq!(accumulator.images(), 2);
                assert_eq!(accumulator.predicted, [0.0, 1.0, 0.0, 1.0]);
                accumulator.report()
            };
            let threads: Vec<_> = ranks.map(|rank| scope.spawn(move || work(rank))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(reports[0], reports[1]);
        assert_eq!((reports[0].L_mean, reports[0].acc_mean), (2.0, 50.0));
    }

    #[test]
    fn code_counts_as_predicted_from_a_thousandth_of_the_even_number_on() {
        let mut accumulator = MetricAccumulator::new(Ladder::new(&[1]).expect("a ladder"), 4);
        // 8000 positions: 2 are a thousandth of 2000, which is not more.
        accumulator.predicted = vec![7995.0, 3.0, 2.0, 0.0];
        assert_eq!(accumulator.details().codes_predicted, 50.0);
    }

    #[test]
    fn scale_that_is_not_learned_has_no_tail() {
        let ladder = Ladder::new(&[1, 2]).expect("a ladder");
        let mut accumulator = MetricAccumulator::new(ladder, 8);
        let losses =
            TokenLosses { losses: vec![3.0], without_smoothing: None, predicted: Some(vec![2]) };
        accumulator.add(&losses, &[1], 1);
        let report = accumulator.report();
        assert_eq!((report.L_mean, report.L_tail, report.acc_tail), (3.0, None, None));
        assert_eq!(accumulator.details().L_scale, [3.0]);
    }
}
