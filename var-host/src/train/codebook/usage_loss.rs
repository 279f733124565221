//! Draws the features of a scale toward the codes that are rare there.

use var_kernel::cpu::Cpu;
use var_kernel::parts::math::{exp, ln};
use var_kernel::parts::simd::{LANES, Simd, SimdKernel};

use super::{Residuals, Usage};

/// The loss `weight · mean_scales mean_features Σ_j p_j · c_j`, c the price of a code at the scale and p
/// a feature's soft choice.
///
/// `p = softmax_j(−‖z − e_j‖² / τ)`, `c_j = ln max(r_j, FLOOR)`, r the hits of the code at the scale
/// relative to the even number. The temperature τ is the scale's mean squared distance from a feature
/// to its code, so that the loss has no unit. Prices and codes are constants: only the features move,
/// and with them the encoder. With the hits of the batch itself for r this would be the gradient of the
/// choices' negative entropy; averaged hits also serve a scale that has fewer features than codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UsageLoss {
    /// The loss's weight; 0 leaves it out.
    pub weight: f32,
}

/// The rarest a code can count as.
const FLOOR: f32 = 0.02;

impl UsageLoss {
    /// For each scale the gradient with respect to its features.
    ///
    /// # Panics
    /// If `codebook` is not whole codes of `latent` numbers.
    pub fn gradients(
        &self,
        cpu: &Cpu<'_>,
        usage: &Usage,
        residuals: &Residuals,
        codebook: &[f32],
        latent: usize,
    ) -> Vec<Vec<f32>> {
        let squares: Vec<f32> =
            codebook.chunks_exact(latent).map(|code| code.iter().map(|x| x * x).sum()).collect();
        // Code by code would add sixteen lanes for each; channel by channel is one chain a code.
        let turned = turned(codebook, latent);
        let scales = residuals.scales();
        let isa = cpu.isa();
        let of_scale = |scale: usize| {
            let features = &residuals.features[scale];
            let prices: Vec<f32> =
                usage.relative(scale).map(|hits| ln(f64::from(hits.max(FLOOR))) as f32).collect();
            let temperature = mean_distance(residuals, scale, codebook, latent);
            let mut gradient = vec![0.0; features.len()];
            if temperature > 0.0 {
                let rows = features.len() / latent;
                let factor = self.weight / (scales * rows) as f32;
                cpu.for_each_run(&mut gradient, latent, |row, gradient, scratch| {
                    let feature = &features[row * latent..(row + 1) * latent];
                    let (codes, squares, prices) = (&turned[..], &squares[..], &prices[..]);
                    let pull = Pull { gradient, feature, codes, squares, prices, scratch };
                    isa.run(PullRow { pull, codebook, temperature, factor });
                });
            }
            gradient
        };
        (0..scales).map(of_scale).collect()
    }
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

fn mean_distance(residuals: &Residuals, scale: usize, codebook: &[f32], latent: usize) -> f32 {
    let features = residuals.features[scale].chunks_exact(latent);
    let square = |(feature, token): (&[f32], &u32)| {
        let code = &codebook[*token as usize * latent..][..latent];
        feature.iter().zip(code).map(|(x, e)| f64::from(x - e).powi(2)).sum::<f64>()
    };
    let rows = residuals.tokens[scale].len();
    (features.zip(&residuals.tokens[scale]).map(square).sum::<f64>() / rows as f64) as f32
}

/// Vectors of sums that are added up side by side.
const VECTORS: usize = 4;

/// The pull on one feature.
struct Pull<'a> {
    gradient: &'a mut [f32],
    feature: &'a [f32],
    /// `latent × codes`
    codes: &'a [f32],
    squares: &'a [f32],
    prices: &'a [f32],
    scratch: &'a mut [f32],
}

struct PullRow<'a> {
    pull: Pull<'a>,
    codebook: &'a [f32],
    temperature: f32,
    factor: f32,
}

impl SimdKernel for PullRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Pull { gradient, feature, codes, squares, prices, scratch } = self.pull;
        let count = squares.len();
        let scores = &mut scratch[..count];
        let cooled = -1.0 / self.temperature;
        // Scores −(‖e‖² − 2 z·e) / τ: a common term cancels in the softmax.
        let mut top = f32::NEG_INFINITY;
        for (stretch, scores) in scores.chunks_mut(VECTORS * LANES).enumerate() {
            let range = stretch * VECTORS * LANES..stretch * VECTORS * LANES + scores.len();
            let mut dots = [s.splat(0.0); VECTORS];
            for (channel, x) in feature.iter().enumerate() {
                let row = &codes[channel * count..(channel + 1) * count][range.clone()];
                for (dot, row) in dots.iter_mut().zip(row.chunks(LANES)) {
                    *dot = s.mul_add(s.load_or(row, 0.0), s.splat(*x), *dot);
                }
            }
            let squares = squares[range].chunks(LANES);
            for ((dot, square), scores) in
                dots.into_iter().zip(squares).zip(scores.chunks_mut(LANES))
            {
                let square = s.load_or(square, f32::INFINITY);
                let score = s.mul(s.mul_add(dot, s.splat(-2.0), square), s.splat(cooled));
                top = top.max(s.greatest(score));
                s.store_part(score, scores);
            }
        }
        let (mut whole, mut priced) = (s.splat(0.0), s.splat(0.0));
        for (scores, prices) in scores.chunks_mut(LANES).zip(prices.chunks(LANES)) {
            let share = exp(s, s.sub(s.load_or(scores, f32::NEG_INFINITY), s.splat(top)));
            s.store_part(share, scores);
            let share = s.load_or(scores, 0.0);
            whole = s.add(whole, share);
            priced = s.mul_add(share, s.load_or(prices, 0.0), priced);
        }
        let whole = s.sum(whole);
        let mean = s.sum(priced) / whole;
        // dz = 2/τ · Σ_j p_j (c_j − c̄) e_j
        let factor = self.factor * 2.0 / self.temperature / whole;
        for (score, price) in scores.iter_mut().zip(prices) {
            *score = factor * *score * (price - mean);
        }
        let latent = gradient.len();
        for (stretch, gradient) in gradient.chunks_mut(VECTORS * LANES).enumerate() {
            let mut sums = [s.splat(0.0); VECTORS];
            for (sum, gradient) in sums.iter_mut().zip(gradient.chunks(LANES)) {
                *sum = s.load_or(gradient, 0.0);
            }
            for (code, pull) in self.codebook.chunks_exact(latent).zip(&*scores) {
                let code = code[stretch * VECTORS * LANES..].chunks(LANES);
                for (sum, code) in sums.iter_mut().zip(code) {
                    *sum = s.mul_add(s.load_or(code, 0.0), s.splat(*pull), *sum);
                }
            }
            for (sum, gradient) in sums.into_iter().zip(gradient.chunks_mut(LANES)) {
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

    /// The loss of one scale by its formula.
    fn loss(z: &[f64], codebook: &[f32], prices: &[f64], temperature: f64, latent: usize) -> f64 {
        let rows = z.chunks_exact(latent).map(|z| {
            let distance = |code: &[f32]| {
                z.iter().zip(code).map(|(z, e)| (z - f64::from(*e)).powi(2)).sum::<f64>()
            };
            let shares = codebook.chunks_exact(latent).map(|e| (-distance(e) / temperature).exp());
            let shares: Vec<f64> = shares.collect();
            let priced: f64 = shares.iter().zip(prices).map(|(p, c)| p * c).sum();
            priced / shares.iter().sum::<f64>()
        });
        rows.sum::<f64>() / (z.len() / latent) as f64
    }

    #[test]
    fn features_move_as_the_loss_says() {
        let (latent, codes, weight) = (5, 37, 0.7);
        let codebook = random(codes * latent, 1);
        let features = vec![random(3 * latent, 2), random(12 * latent, 3)];
        let nearest = |feature: &[f32]| {
            let distance = |code: &[f32]| -> f32 {
                feature.iter().zip(code).map(|(x, e)| (x - e) * (x - e)).sum()
            };
            let all = codebook.chunks_exact(latent).enumerate();
            let least = all.min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
            least.map_or(0, |(code, _)| code as u32)
        };
        let tokens = features.iter().map(|f| f.chunks_exact(latent).map(nearest).collect());
        let residuals = Residuals { tokens: tokens.collect(), features };
        let mut usage = Usage::new(codes, &[1, 4], 3);
        usage.note(&hits(&residuals, codes));

        let usage_loss = UsageLoss { weight };
        for scale in 0..2 {
            let z = &residuals.features[scale];
            let got = on_each_cpu(z.len(), |cpu, out| {
                let all = usage_loss.gradients(&cpu, &usage, &residuals, &codebook, latent);
                out.copy_from_slice(&all[scale]);
            });
            let prices: Vec<f64> =
                usage.relative(scale).map(|r| f64::from(r.max(FLOOR)).ln()).collect();
            let temperature = f64::from(mean_distance(&residuals, scale, &codebook, latent));
            let want = differences(z, &[weight / 2.0], |z| {
                vec![loss(z, &codebook, &prices, temperature, latent)]
            });
            assert!(want.iter().any(|x| x.abs() > 1e-3), "the loss has a slope");
            assert_close(&got, &want, 1e-5);
        }
    }

    #[test]
    fn features_that_are_their_codes_do_not_move() {
        let codebook = [0.0, 1.0];
        let residuals = Residuals { features: vec![vec![1.0]], tokens: vec![vec![1]] };
        let mut usage = Usage::new(2, &[1], 1);
        usage.note(&[0.0, 1.0]);
        let got = on_each_cpu(1, |cpu, out| {
            let all = UsageLoss { weight: 1.0 }.gradients(&cpu, &usage, &residuals, &codebook, 1);
            out.copy_from_slice(&all[0]);
        });
        assert_eq!(got, [0.0]);
    }
}
