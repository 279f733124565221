//! Draws the features of a scale towards the codes that are rare there.

use var_kernel::cpu::Cpu;
use var_kernel::cpu::math::{exp, ln};
use var_kernel::cpu::simd::{Kernel, LANES, Simd};

use super::Residuals;

/// The loss `weight · mean_scales mean_features Σ_j p_j · c_j`, c the price of a code at the scale and p
/// a feature's soft choice.
///
/// `p = softmax_j(−‖z − e_j‖² / τ)`, `c_j = ln max(r_j, FLOOR)`, r the hits of the code at the scale of
/// late relative to the even number. Prices and codes are constants: only the features move, and with
/// them the encoder.
///
/// The temperature τ is [`TEMPERATURE`] times the variance of the codes: a scale whose features crowd
/// around few codes still sees the others. Prices remember as few steps as hold [`MEMORY`] features for
/// each code: where they are older, features run after them in herds, and codes look used only over
/// time. They are of the steps before, so that a batch comes to the same in any number of parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// The loss's weight; 0 leaves it out.
    weight: f32,
    codes: usize,
    latent: usize,
    /// For each scale what an average of hits keeps in a step.
    keep: Vec<f32>,
    /// `scales × codes`: hits of late, relative to the even number; all 1 before there are any.
    pub recent: Vec<f32>,
}

/// The temperature as a share of the codes' variance.
const TEMPERATURE: f32 = 0.25;

/// Features for each code that prices remember.
const MEMORY: f32 = 2.0;

/// The rarest a code can count as.
const FLOOR: f32 = 0.05;

impl Spread {
    /// No hits yet; `features`: of each scale in a step, all ranks together.
    pub fn new(weight: f32, features: &[usize], codes: usize, latent: usize) -> Self {
        let keep = |features: &usize| {
            let steps = (tune("MEM", MEMORY) * codes as f32 / *features as f32).max(1.0);
            1.0 - 1.0 / steps
        };
        let recent = vec![1.0; features.len() * codes];
        Self { weight, codes, latent, keep: features.iter().map(keep).collect(), recent }
    }

    /// Whether the loss counts.
    pub fn is_on(&self) -> bool {
        self.weight > 0.0
    }

    /// For each scale the gradient with respect to its features, which are `share` of all that are
    /// learnt from in this step.
    ///
    /// # Panics
    /// If `codebook` is not the one this was made for.
    pub fn gradients(
        &self,
        cpu: &Cpu<'_>,
        residuals: &Residuals,
        codebook: &[f32],
        share: f32,
    ) -> Vec<Vec<f32>> {
        let (codes, latent) = (self.codes, self.latent);
        assert_eq!(codebook.len(), codes * latent, "spread: another codebook");
        let squares: Vec<f32> =
            codebook.chunks_exact(latent).map(|code| code.iter().map(|x| x * x).sum()).collect();
        // Code by code would add sixteen lanes for each; channel by channel is one chain a code.
        let turned = turned(codebook, latent);
        let temperature = tune("TEMP", TEMPERATURE) * variance(codebook, latent);
        let scales = residuals.scales();
        let isa = cpu.isa();
        let of_scale = |scale: usize| {
            let features = &residuals.features[scale];
            let mut gradient = vec![0.0; features.len()];
            if temperature == 0.0 {
                return gradient;
            }
            let prices = self.prices(scale);
            let rows = features.len() / latent;
            let factor = 2.0 * self.weight * share / (temperature * (scales * rows) as f32);
            cpu.for_each_run(&mut gradient, latent, |row, gradient, scratch| {
                let feature = &features[row * latent..(row + 1) * latent];
                let shares = &mut scratch[..codes];
                let (codes, squares) = (&turned[..], &squares[..]);
                isa.run(Choose { shares: &mut *shares, feature, codes, squares, temperature });
                isa.run(Pull { gradient, shares, prices: &prices, codebook, factor });
            });
            gradient
        };
        (0..scales).map(of_scale).collect()
    }

    /// Takes a step's hits, `scales × codes`, all ranks together.
    ///
    /// # Panics
    /// If there are not as many as scales and codes.
    pub fn note(&mut self, hits: &[f32]) {
        assert_eq!(hits.len(), self.recent.len(), "spread: not scales × codes");
        let of_scales = self.recent.chunks_exact_mut(self.codes).zip(hits.chunks_exact(self.codes));
        for ((recent, hits), keep) in of_scales.zip(&self.keep) {
            let even = hits.iter().sum::<f32>() / self.codes as f32;
            for (recent, hits) in recent.iter_mut().zip(hits) {
                *recent = keep * *recent + (1.0 - keep) * hits / even;
            }
        }
    }

    /// The logarithm of how often each code is hit, as a number of times the even number.
    fn prices(&self, scale: usize) -> Vec<f32> {
        let recent = &self.recent[scale * self.codes..(scale + 1) * self.codes];
        recent.iter().map(|hits| ln(f64::from(hits.max(FLOOR))) as f32).collect()
    }
}

/// The mean squared distance of a code from the mean of all.
fn variance(codebook: &[f32], latent: usize) -> f32 {
    let codes = (codebook.len() / latent) as f64;
    let of_channel = |channel: usize| {
        let values = codebook.iter().skip(channel).step_by(latent).map(|x| f64::from(*x));
        let (sum, squares) =
            values.fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
        squares / codes - (sum / codes).powi(2)
    };
    (0..latent).map(of_channel).sum::<f64>() as f32
}

/// `latent × codes`
fn turned(codebook: &[f32], latent: usize) -> Vec<f32> {
    let codes = codebook.len() / latent;
    let mut turned = vec![0.0; codebook.len()];
    for (code, values) in codebook.chunks_exact(latent).enumerate() {
        for (channel, value) in values.iter().enumerate() {
            turned[channel * codes + code] = *value;
        }
    }
    turned
}

/// One feature's soft choice.
struct Choose<'a> {
    shares: &'a mut [f32],
    feature: &'a [f32],
    /// `latent × codes`
    codes: &'a [f32],
    squares: &'a [f32],
    temperature: f32,
}

impl Kernel for Choose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shares, feature, codes, squares, temperature } = self;
        let (count, cooled) = (squares.len(), s.splat(-1.0 / temperature));
        // Scores −(‖e‖² − 2 z·e) / τ: what all have in common falls out of the softmax.
        let mut top = f32::NEG_INFINITY;
        for (block, scores) in shares.chunks_mut(LANES).enumerate() {
            let range = block * LANES..block * LANES + scores.len();
            let mut dot = s.splat(0.0);
            for (channel, x) in feature.iter().enumerate() {
                let row = &codes[channel * count..(channel + 1) * count];
                dot = s.mul_add(s.load_or(&row[range.clone()], 0.0), s.splat(*x), dot);
            }
            let square = s.load_or(&squares[range], f32::INFINITY);
            let score = s.mul(s.mul_add(dot, s.splat(-2.0), square), cooled);
            top = top.max(s.greatest(score));
            s.store_part(score, scores);
        }
        let mut whole = s.splat(0.0);
        for scores in shares.chunks_mut(LANES) {
            let share = exp(s, s.sub(s.load_or(scores, f32::NEG_INFINITY), s.splat(top)));
            whole = s.add(whole, share);
            s.store_part(share, scores);
        }
        let whole = s.splat(s.sum(whole));
        for shares in shares.chunks_mut(LANES) {
            s.store_part(s.div(s.load_or(shares, 0.0), whole), shares);
        }
    }
}

/// What one feature is pulled by: `factor · Σ_j p_j (c_j − c̄) e_j`, c̄ the mean price of its choice.
struct Pull<'a> {
    gradient: &'a mut [f32],
    shares: &'a [f32],
    prices: &'a [f32],
    codebook: &'a [f32],
    factor: f32,
}

impl Kernel for Pull<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { gradient, shares, prices, codebook, factor } = self;
        let mut mean = s.splat(0.0);
        for (shares, prices) in shares.chunks(LANES).zip(prices.chunks(LANES)) {
            mean = s.mul_add(s.load_or(shares, 0.0), s.load_or(prices, 0.0), mean);
        }
        let mean = s.sum(mean);
        let codes = codebook.chunks_exact(gradient.len());
        for (code, (share, price)) in codes.zip(shares.iter().zip(prices)) {
            let pull = s.splat(factor * share * (price - mean));
            for (gradient, code) in gradient.chunks_mut(LANES).zip(code.chunks(LANES)) {
                let sum = s.mul_add(s.load_or(code, 0.0), pull, s.load_or(gradient, 0.0));
                s.store_part(sum, gradient);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grad::testing::{assert_close, differences, on_each_cpu, random};
    use crate::train::codebook::usage::hits;

    /// The soft choice of `z` by its formula.
    fn choice(z: &[f64], codebook: &[f32], temperature: f64, latent: usize) -> Vec<f64> {
        let distance = |code: &[f32]| {
            z.iter().zip(code).map(|(z, e)| (z - f64::from(*e)).powi(2)).sum::<f64>()
        };
        let shares = codebook.chunks_exact(latent).map(|e| (-distance(e) / temperature).exp());
        let shares: Vec<f64> = shares.collect();
        let whole: f64 = shares.iter().sum();
        shares.into_iter().map(|share| share / whole).collect()
    }

    fn residuals(codebook: &[f32], latent: usize) -> Residuals {
        let features = vec![random(3 * latent, 2), random(12 * latent, 3)];
        let nearest = |feature: &[f32]| {
            let distance = |code: &[f32]| -> f32 {
                feature.iter().zip(code).map(|(x, e)| (x - e) * (x - e)).sum()
            };
            let all = codebook.chunks_exact(latent).enumerate();
            let least = all.min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
            least.map_or(0, |(code, _)| code as u32)
        };
        let of_scale = |of: &Vec<f32>| of.chunks_exact(latent).map(nearest).collect();
        Residuals { tokens: features.iter().map(of_scale).collect(), features }
    }

    #[test]
    fn features_move_as_the_loss_says() {
        let (latent, codes, weight) = (5, 37, 0.7);
        let codebook = random(codes * latent, 1);
        let residuals = residuals(&codebook, latent);
        let mut spread = Spread::new(weight, &[3, 12], codes, latent);
        spread.note(&hits(&residuals, codes));
        for scale in 0..2 {
            let z = &residuals.features[scale];
            let got = on_each_cpu(z.len(), |cpu, out| {
                out.copy_from_slice(&spread.gradients(&cpu, &residuals, &codebook, 0.5)[scale]);
            });
            let prices = |hits: &f32| f64::from(hits.max(FLOOR)).ln();
            let recent = &spread.recent[scale * codes..(scale + 1) * codes];
            let prices: Vec<f64> = recent.iter().map(prices).collect();
            let temperature = f64::from(TEMPERATURE * variance(&codebook, latent));
            let rows = z.len() / latent;
            let want = differences(z, &[0.5 * weight / (2 * rows) as f32], |z| {
                let priced = z.chunks_exact(latent).map(|z| {
                    let choice = choice(z, &codebook, temperature, latent);
                    choice.iter().zip(&prices).map(|(p, c)| p * c).sum::<f64>()
                });
                vec![priced.sum()]
            });
            assert!(want.iter().any(|x| x.abs() > 1e-3), "the loss has a slope");
            assert_close(&got, &want, 1e-5);
        }
    }

    #[test]
    fn prices_remember_as_many_features_as_asked_for() {
        // Two features for each code are sixteen steps of one, or one of sixteen.
        let mut spread = Spread::new(1.0, &[1, 16], 8, 1);
        let hits = |code: usize| {
            let mut hits = vec![0.0; 16];
            (hits[code], hits[8 + code]) = (1.0, 16.0);
            hits
        };
        spread.note(&hits(0));
        spread.note(&hits(1));
        let recent = |at: usize| spread.recent[at];
        let keep = 15.0_f32 / 16.0;
        assert!((recent(0) - (keep + 0.5) * keep).abs() < 1e-5, "{}", recent(0));
        assert_eq!([recent(8), recent(9), recent(10)], [0.0, 8.0, 0.0]);
    }

    #[test]
    fn one_code_has_nowhere_to_send_features() {
        let residuals = Residuals { features: vec![vec![1.0]], tokens: vec![vec![0]] };
        let got = on_each_cpu(1, |cpu, out| {
            let spread = Spread::new(1.0, &[1], 2, 1);
            out.copy_from_slice(&spread.gradients(&cpu, &residuals, &[0.5, 0.5], 1.0)[0]);
        });
        assert_eq!(got, [0.0]);
    }
}

fn tune(n: &str, d: f32) -> f32 {
    std::env::var(n).ok().and_then(|v| v.parse().ok()).unwrap_or(d)
}
