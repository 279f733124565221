//! Codes as the mean of their features: k-means, averaged over steps (van den Oord and others,
//! "Neural Discrete Representation Learning", 2017, appendix A.1).

use super::Residuals;

/// Averaged counts and sums of the features of each code.
#[derive(Clone, Debug, PartialEq)]
pub struct EmaCodebook {
    latent: usize,
    /// Share that a step keeps.
    pub decay: f32,
    /// For each code its features, every scale counting as one whole.
    pub counts: Vec<f32>,
    /// `codes × latent`: their sums.
    pub sums: Vec<f32>,
}

/// Keeps a code without features where it is.
const FEWEST: f32 = 1e-6;

impl EmaCodebook {
    /// Codes that have been where `codebook` has them.
    pub fn new(codebook: &[f32], latent: usize, decay: f32) -> Self {
        let codes = codebook.len() / latent;
        let count = 1.0 / codes as f32;
        let sums = codebook.iter().map(|x| x * count).collect();
        Self { latent, decay, counts: vec![count; codes], sums }
    }

    /// Takes part in the counts and sums of a step: `counts`, then `sums`, all ranks together, as
    /// [`totals`] makes them; moves the codes of `codebook`.
    ///
    /// # Panics
    /// If a slice is not of the codebook's size.
    pub fn step(&mut self, codebook: &mut [f32], totals: &[f32]) {
        let Self { latent, decay, counts, sums } = self;
        let (of_counts, of_sums) = totals.split_at(counts.len());
        assert_eq!([codebook.len(), of_sums.len()], [sums.len(); 2], "average: codes × latent");
        let rest = 1.0 - *decay;
        for (count, new) in counts.iter_mut().zip(of_counts) {
            *count = *decay * *count + rest * new;
        }
        for (sum, new) in sums.iter_mut().zip(of_sums) {
            *sum = *decay * *sum + rest * new;
        }
        let codes = codebook.chunks_exact_mut(*latent).zip(sums.chunks_exact(*latent));
        for ((code, sum), count) in codes.zip(counts) {
            if *count > FEWEST {
                code.iter_mut().zip(sum).for_each(|(code, sum)| *code = sum / *count);
            }
        }
    }

    /// Starts `code` anew at `place`.
    pub fn restart(&mut self, code: usize, place: &[f32]) {
        let count = 1.0 / self.counts.len() as f32;
        self.counts[code] = count;
        let sum = &mut self.sums[code * self.latent..(code + 1) * self.latent];
        sum.iter_mut().zip(place).for_each(|(sum, place)| *sum = place * count);
    }
}

/// The share of a batch's features in each code, then their sums, each scale weighing alike: where
/// every cell weighed alike, the finest scale would own the codebook.
pub fn totals(residuals: &Residuals, codes: usize, latent: usize) -> Vec<f32> {
    let mut totals = vec![0.0_f64; codes * (1 + latent)];
    let (counts, sums) = totals.split_at_mut(codes);
    for scale in 0..residuals.scales() {
        let (features, tokens) = (&residuals.features[scale], &residuals.tokens[scale]);
        let weight = 1.0 / (residuals.scales() * tokens.len()) as f64;
        for (token, feature) in tokens.iter().zip(features.chunks_exact(latent)) {
            let code = *token as usize;
            counts[code] += weight;
            for (sum, x) in sums[code * latent..(code + 1) * latent].iter_mut().zip(feature) {
                *sum += weight * f64::from(*x);
            }
        }
    }
    totals.into_iter().map(|x| x as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_move_to_the_mean_of_their_features() {
        let mut codebook = vec![0.0, 0.0, 5.0, 5.0];
        let mut average = EmaCodebook::new(&codebook, 2, 0.5);
        let residuals = Residuals {
            features: vec![vec![1.0, 2.0], vec![3.0, 4.0, 5.0, 0.0]],
            tokens: vec![vec![0], vec![0, 1]],
        };
        // Code 0 has half of the weight at (1, 2) and a quarter at (3, 4).
        let totals = totals(&residuals, 2, 2);
        assert_eq!(totals, [0.75, 0.25, 1.25, 2.0, 1.25, 0.0]);
        for _ in 0..40 {
            average.step(&mut codebook, &totals);
        }
        let want = [1.25 / 0.75, 2.0 / 0.75, 5.0, 0.0];
        assert!(codebook.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5), "{codebook:?}");
    }

    #[test]
    fn code_without_features_stays() {
        let mut codebook = vec![1.0, 2.0];
        let mut average = EmaCodebook::new(&codebook, 1, 0.9);
        // Long enough for its average count to become 0.
        for _ in 0..2000 {
            average.step(&mut codebook, &[1.0, 0.0, 1.0, 0.0]);
        }
        assert!((codebook[1] - 2.0).abs() < 1e-4, "{codebook:?}");
        average.restart(1, &[7.0]);
        average.step(&mut codebook, &[0.5, 0.5, 0.5, 3.5]);
        assert!((codebook[1] - 7.0).abs() < 1e-4, "{codebook:?}");
    }
}
