//! Puts codes that nothing hits where features are.

use var_kernel::sample::random::Philox;

use super::{Residuals, Usage};

/// The stream of random numbers; data, initialization and sampling use others.
const STREAM: u32 = 0xffff_ffe0;

/// When a code is dead, and how many are revived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeadCodeReset {
    /// A code is dead if it is hit less than so many times as often as an even code, at all scales
    /// together.
    pub least: f32,
    /// The run's seed.
    pub seed: u64,
}

/// A code's new place.
#[derive(Clone, Debug, PartialEq)]
pub struct ResetCode {
    /// The code.
    pub code: usize,
    /// The scale of the feature it takes.
    pub scale: usize,
    /// The feature.
    pub place: Vec<f32>,
}

impl DeadCodeReset {
    /// New places for the dead codes at step `step`.
    ///
    /// The scales take turns, the one with the fewest codes in use first, so that coarse scales are
    /// served though they have few features. Of a scale a feature is drawn with a probability that
    /// rises with its distance from its code (Arthur and Vassilvitskii, "k-means++", 2007), no feature
    /// twice in a step.
    pub fn of(
        &self,
        usage: &Usage,
        residuals: &Residuals,
        codebook: &[f32],
        latent: usize,
        step: u64,
    ) -> Vec<ResetCode> {
        let dead = usage.dead(self.least);
        if dead.is_empty() {
            return Vec::new();
        }
        let shares = usage.shares();
        let mut turns: Vec<usize> = (0..residuals.scales()).collect();
        turns.sort_by(|a, b| shares[*a].total_cmp(&shares[*b]).then(a.cmp(b)));
        let mut weights: Vec<Vec<f64>> = (0..residuals.scales())
            .map(|scale| distances(residuals, scale, codebook, latent))
            .collect();
        let random = Philox::new(self.seed);
        let mut revived = Vec::new();
        for (turn, code) in dead.into_iter().enumerate() {
            let scale = turns[turn % turns.len()];
            let words = random.words([code as u32, step as u32, (step >> 32) as u32, STREAM]);
            let u = f64::from(words[0]) / (1_u64 << 32) as f64;
            let Some(row) = draw(&weights[scale], u) else { continue };
            weights[scale][row] = 0.0;
            let place = residuals.features[scale][row * latent..(row + 1) * latent].to_vec();
            revived.push(ResetCode { code, scale, place });
        }
        revived
    }
}

/// The squared distance of each feature of `scale` from its code.
fn distances(residuals: &Residuals, scale: usize, codebook: &[f32], latent: usize) -> Vec<f64> {
    let features = residuals.features[scale].chunks_exact(latent);
    let square = |(feature, token): (&[f32], &u32)| {
        let code = &codebook[*token as usize * latent..][..latent];
        feature.iter().zip(code).map(|(x, e)| f64::from(x - e).powi(2)).sum()
    };
    features.zip(&residuals.tokens[scale]).map(square).collect()
}

/// The first place where the running sum of `weights` exceeds the share `u` of the whole.
fn draw(weights: &[f64], u: f64) -> Option<usize> {
    let whole: f64 = weights.iter().sum();
    let mut running = 0.0;
    weights.iter().position(|weight| {
        running += weight;
        running > u * whole
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> (Usage, Residuals, Vec<f32>) {
        let mut usage = Usage::new(8, &[1, 4], 2);
        let mut hits = vec![0.0; 16];
        // Codes 0 and 1 are hit, the others dead; the coarse scale uses one, the fine one two.
        (hits[0], hits[8], hits[9]) = (2.0, 4.0, 4.0);
        usage.note(&hits);
        let features = vec![vec![10.0, 20.0], (0..8).map(|i| 30.0 + i as f32).collect()];
        let tokens = vec![vec![0, 0], vec![1; 8]];
        (usage, Residuals { features, tokens }, vec![0.0; 8])
    }

    #[test]
    fn scales_take_turns_and_no_feature_is_taken_twice() {
        let (usage, residuals, codebook) = scene();
        let revived = DeadCodeReset { least: 0.1, seed: 1 }.of(&usage, &residuals, &codebook, 1, 5);
        let scales: Vec<_> = revived.iter().map(|revived| revived.scale).collect();
        // Six dead codes, but the coarse scale has only two features.
        assert_eq!(scales, [0, 1, 0, 1, 1]);
        let mut places: Vec<_> = revived.iter().map(|revived| revived.place[0]).collect();
        places.sort_by(f32::total_cmp);
        places.dedup();
        assert_eq!(places.len(), 5);
    }

    #[test]
    fn seed_and_the_step_decide() {
        let (usage, residuals, codebook) = scene();
        let of = |seed, step| {
            DeadCodeReset { least: 0.1, seed }.of(&usage, &residuals, &codebook, 1, step)
        };
        assert_eq!(of(1, 5), of(1, 5));
        assert_ne!(of(1, 5), of(1, 6));
        assert_ne!(of(1, 5), of(2, 5));
    }

    #[test]
    fn codes_that_all_live_are_not_revived() {
        let (mut usage, residuals, codebook) = scene();
        usage.note(&[1.0; 16]);
        usage.note(&[100.0; 16]);
        assert_eq!(
            DeadCodeReset { least: 0.1, seed: 1 }.of(&usage, &residuals, &codebook, 1, 5),
            []
        );
    }
}
