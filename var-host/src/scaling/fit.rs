//! A power law through points, by least squares of logarithms.

use serde::Serialize;

use crate::plural::count;

/// Points under which a line has no error to tell of.
pub const FEWEST: usize = 3;

/// Half-widths of the 95 % interval of Student's t, for 1 to 30 degrees of freedom; 1.96 beyond.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

/// `y = (α·N)^β`, fitted: `ln y = β·ln N + β·ln α` is a straight line.
///
/// Intervals hold the true value in 95 of 100 cases if the logarithms scatter normally about a line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PowerLaw {
    /// The factor α.
    pub alpha: f64,
    /// The interval of α; not finite where β may be 0.
    pub alpha_interval: [f64; 2],
    /// The exponent β.
    pub beta: f64,
    /// The interval of β.
    pub beta_interval: [f64; 2],
    /// Pearson's correlation of `ln N` and `ln y`.
    pub correlation: f64,
    /// Points.
    pub points: usize,
    /// The line: `ln y` at the mean of `ln N`, and that mean.
    #[serde(skip)]
    center: [f64; 2],
    /// The scatter about the line, and `Σ (ln N − mean)²`.
    #[serde(skip)]
    spread: [f64; 2],
}

/// Why no law goes through points.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum FitError {
    /// Too few points.
    #[error("{}: a fit with an interval wants at least {FEWEST}", count(*has, "run"))]
    TooFew {
        /// How many there are.
        has: usize,
    },
    /// All models have one size.
    #[error("all runs have {parameters} parameters: a law wants several sizes")]
    OneSize {
        /// The size.
        parameters: f64,
    },
    /// No logarithm.
    #[error("a loss or an error of {value} has no logarithm")]
    NotPositive {
        /// The value.
        value: f64,
    },
}

impl PowerLaw {
    /// The law of least squares through points of N and y.
    ///
    /// # Errors
    /// If there are fewer than [`FEWEST`], all of one N, or a y is not positive and finite.
    pub fn fit(points: &[(f64, f64)]) -> Result<Self, FitError> {
        if points.len() < FEWEST {
            return Err(FitError::TooFew { has: points.len() });
        }
        let all = points.iter().flat_map(|(n, y)| [*n, *y]);
        if let Some(value) = all.into_iter().find(|value| !(value.is_finite() && *value > 0.0)) {
            return Err(FitError::NotPositive { value });
        }
        let count = points.len() as f64;
        let logs: Vec<(f64, f64)> = points.iter().map(|(n, y)| (n.ln(), y.ln())).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
        let (x_mean, y_mean) = (mean(|p| p.0), mean(|p| p.1));
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            logs.iter().map(|(x, y)| of(x - x_mean, y - y_mean)).sum()
        };
        let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
        if points.iter().all(|point| point.0 == points[0].0) {
            return Err(FitError::OneSize { parameters: points[0].0 });
        }
        let beta = xy / xx;
        let residual = sum(&|x, y| (y - beta * x).powi(2));
        let scatter = (residual / (count - 2.0)).sqrt();
        let t = student(points.len() - 2);
        let beta_half = t * scatter / xx.sqrt();
        // ln α is where the line's height is 0, less the center: a ratio of two estimates; its
        // interval is where the line's own band holds 0 (Fieller, 1954).
        let log_alpha = y_mean / beta - x_mean;
        let alpha_interval =
            fieller(y_mean, beta, scatter, xx, count, t).map(|x| (x - x_mean).exp());
        let correlation = if yy == 0.0 { 0.0 } else { xy / (xx * yy).sqrt() };
        Ok(Self {
            alpha: log_alpha.exp(),
            alpha_interval,
            beta,
            beta_interval: [beta - beta_half, beta + beta_half],
            correlation,
            points: points.len(),
            center: [x_mean, y_mean],
            spread: [scatter, xx],
        })
    }

    /// y at N.
    pub fn at(&self, n: f64) -> f64 {
        (self.center[1] + self.beta * (n.ln() - self.center[0])).exp()
    }

    /// The interval of the law's own y at N (not of a further run's).
    pub fn interval_at(&self, n: f64) -> [f64; 2] {
        let x = n.ln() - self.center[0];
        let [scatter, xx] = self.spread;
        let count = self.points as f64;
        let half = student(self.points - 2) * scatter * (1.0 / count + x * x / xx).sqrt();
        let y = self.center[1] + self.beta * x;
        [(y - half).exp(), (y + half).exp()]
    }
}

/// The interval of `y / β`, in order, y and β independent estimates of variances `s²/n` and `s²/xx`.
fn fieller(y: f64, beta: f64, scatter: f64, xx: f64, count: f64, t: f64) -> [f64; 2] {
    let (y_half, beta_half) = (t * scatter / count.sqrt(), t * scatter / xx.sqrt());
    // All q with |y − q·β| ≤ √(y_half² + q²·beta_half²).
    let a = beta * beta - beta_half * beta_half;
    if a <= 0.0 {
        return [f64::NEG_INFINITY, f64::INFINITY];
    }
    let b = y * beta;
    let c = y * y - y_half * y_half;
    let root = (b * b - a * c).max(0.0).sqrt();
    [(b - root) / a, (b + root) / a]
}

fn student(freedom: usize) -> f64 {
    STUDENT.get(freedom.saturating_sub(1)).copied().unwrap_or(1.96)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_law_is_found_again() {
        let points: Vec<(f64, f64)> =
            [1e6, 3e6, 2e7, 1e8].iter().map(|n| (*n, (2e-3_f64 * n).powf(-0.2))).collect();
        let law = PowerLaw::fit(&points).unwrap();
        assert!((law.alpha - 2e-3).abs() < 1e-12 && (law.beta + 0.2).abs() < 1e-12, "{law:?}");
        assert!((law.correlation + 1.0).abs() < 1e-12);
        for (n, y) in points {
            assert!((law.at(n) - y).abs() < 1e-12 * y);
        }
    }

    /// By hand: ln N = 0, 1, 2, 3 and ln y = 0.1, −0.1, −0.1, −0.3.
    #[test]
    fn intervals_are_students() {
        let logs = [(0.0_f64, 0.1_f64), (1.0, -0.1), (2.0, -0.1), (3.0, -0.3)];
        let points: Vec<_> = logs.iter().map(|(x, y)| (x.exp(), y.exp())).collect();
        let law = PowerLaw::fit(&points).unwrap();
        // Slope −0.6/5, residuals 0.02, −0.06, 0.06, −0.02, their squares' sum 0.008.
        assert!((law.beta + 0.12).abs() < 1e-12);
        let half = 4.303 * (0.008_f64 / 2.0).sqrt() / 5.0_f64.sqrt();
        assert!((law.beta_interval[1] - law.beta - half).abs() < 1e-12);
        assert!((law.correlation + 0.6 / (5.0_f64 * 0.08).sqrt()).abs() < 1e-12);
        // In the middle the band is narrowest.
        let [low, high] = law.interval_at(1.5_f64.exp());
        let half = 4.303 * (0.008_f64 / 2.0).sqrt() / 2.0;
        assert!(((high / low).ln() - 2.0 * half).abs() < 1e-12);
        // β may be 0, so α may be anything.
        assert!(law.beta_interval[1] > 0.0 && law.alpha_interval[1].is_infinite());
    }

    /// Of many fits to scattered points, the intervals hold the truth in about 95 of 100.
    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let mut state = 1_u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let (alpha, beta) = (3e-4_f64, -0.15);
        let (mut of_alpha, mut of_beta) = (0, 0);
        for _ in 0..2000 {
            let points: Vec<(f64, f64)> = [1e5, 1e6, 3e6, 1e7, 1e8]
                .iter()
                .map(|n: &f64| {
                    let normal = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
                    (*n, (alpha * n).powf(beta) * (0.02 * normal).exp())
                })
                .collect();
            let law = PowerLaw::fit(&points).unwrap();
            let within = |[low, high]: [f64; 2], x: f64| low <= x && x <= high;
            of_alpha += usize::from(within(law.alpha_interval, alpha));
            of_beta += usize::from(within(law.beta_interval, beta));
        }
        for (what, count) in [("α", of_alpha), ("β", of_beta)] {
            assert!((1860..=1940).contains(&count), "{what}: {count} of 2000");
        }
    }

    #[test]
    fn points_without_a_law_are_refused() {
        let fault = |points: &[(f64, f64)]| PowerLaw::fit(points).unwrap_err().to_string();
        let two = "2 runs: a fit with an interval wants at least 3";
        assert_eq!(fault(&[(1.0, 2.0), (2.0, 1.0)]), two);
        let one = "all runs have 5 parameters: a law wants several sizes";
        assert_eq!(fault(&[(5.0, 2.0), (5.0, 1.0), (5.0, 3.0)]), one);
        let zero = "a loss or an error of 0 has no logarithm";
        assert_eq!(fault(&[(5.0, 2.0), (6.0, 0.0), (7.0, 3.0)]), zero);
    }
}
