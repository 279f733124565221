//! How often each code is hit at each scale.

use super::Residuals;

/// Hits of every code at every scale, averaged over steps (MODEL.md, section 2).
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    codes: usize,
    /// `scales × codes`: `quantize.ema_vocab_hit_SV` in a checkpoint of the reference.
    pub hits: Vec<f32>,
    /// Features of each scale in a step, all ranks together.
    features: Vec<usize>,
    /// Steps so far.
    pub steps: u64,
}

/// Share of the even number of hits from which a code counts as used.
const USED: f32 = 0.08;

impl Usage {
    /// No step yet; `cells`: of each scale of an image, `images`: of a step, all ranks together.
    pub fn new(codes: usize, cells: &[usize], images: usize) -> Self {
        let features = cells.iter().map(|cells| cells * images).collect();
        Self { codes, hits: vec![0.0; cells.len() * codes], features, steps: 0 }
    }

    /// Notes a step's hits, `scales × codes`, all ranks together.
    ///
    /// The first step is taken as it is; then the average keeps 0.9 of itself until step 100, 0.99
    /// from there.
    ///
    /// # Panics
    /// If there are not as many as scales and codes.
    pub fn note(&mut self, hits: &[f32]) {
        assert_eq!(hits.len(), self.hits.len(), "usage: not scales × codes");
        let keep = match self.steps {
            0 => 0.0,
            1..100 => 0.9,
            _ => 0.99,
        };
        for (average, hits) in self.hits.iter_mut().zip(hits) {
            *average = keep * *average + (1.0 - keep) * hits;
        }
        self.steps += 1;
    }

    /// Hits of the codes at `scale`, each divided by the even number: 1 if all are hit alike.
    pub fn relative(&self, scale: usize) -> impl Iterator<Item = f32> {
        let even = self.features[scale] as f32 / self.codes as f32;
        self.hits[scale * self.codes..(scale + 1) * self.codes].iter().map(move |hits| hits / even)
    }

    /// The share of the codes in use at each scale: hit at least 0.08 times as often as if all were
    /// hit alike.
    pub fn shares(&self) -> Vec<f64> {
        let of = |scale| self.relative(scale).filter(|hits| *hits >= USED).count();
        (0..self.features.len()).map(|scale| of(scale) as f64 / self.codes as f64).collect()
    }

    /// Codes that are hit less than `least` times as often as an even code, at all scales together,
    /// each scale counting alike.
    pub fn dead(&self, least: f32) -> Vec<usize> {
        let scales = self.features.len();
        let mut together = vec![0.0; self.codes];
        for scale in 0..scales {
            for (sum, hits) in together.iter_mut().zip(self.relative(scale)) {
                *sum += hits / scales as f32;
            }
        }
        (0..self.codes).filter(|code| together[*code] < least).collect()
    }

    /// Gives `code` the even number of hits at `scale`, for it starts anew there.
    pub fn restart(&mut self, code: usize, scale: usize) {
        for (number, features) in self.features.iter().enumerate() {
            let even = *features as f32 / self.codes as f32;
            self.hits[number * self.codes + code] = if number == scale { even } else { 0.0 };
        }
    }
}

/// The hits of a batch, `scales × codes`.
pub fn hits(residuals: &Residuals, codes: usize) -> Vec<f32> {
    let of = |scale| residuals.hits(scale, codes).into_iter().map(|hits| hits as f32);
    (0..residuals.scales()).flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_follows_the_rule() {
        let mut usage = Usage::new(2, &[1], 4);
        usage.note(&[4.0, 0.0]);
        assert_eq!(usage.hits, [4.0, 0.0]);
        usage.note(&[0.0, 4.0]);
        assert_eq!(usage.hits.iter().map(|x| (x * 10.0).round()).collect::<Vec<_>>(), [36.0, 4.0]);
        for _ in 2..100 {
            usage.note(&[2.0, 2.0]);
        }
        usage.note(&[102.0, 2.0]);
        assert!((usage.hits[0] - 3.0).abs() < 1e-3, "{:?}", usage.hits);
    }

    #[test]
    fn code_is_used_from_a_share_of_the_even_number_on() {
        let mut usage = Usage::new(4, &[1, 4], 100);
        // 25 and 100 hits are even: 2 and 8 are enough.
        usage.note(&[96.0, 2.0, 1.9, 0.1, 0.0, 8.0, 7.9, 384.1]);
        assert_eq!(usage.shares(), [0.5, 0.5]);
        assert_eq!(usage.dead(0.08), [2]);
        usage.restart(2, 1);
        assert_eq!((usage.hits[2], usage.hits[6]), (0.0, 100.0));
        assert_eq!(usage.dead(0.08), Vec::<usize>::new());
    }

    #[test]
    fn hits_of_a_batch_are_counted() {
        let features = vec![Vec::new(), Vec::new()];
        let residuals = Residuals { features, tokens: vec![vec![1], vec![0, 2, 2]] };
        assert_eq!(hits(&residuals, 3), [0.0, 1.0, 0.0, 1.0, 0.0, 2.0]);
    }
}
