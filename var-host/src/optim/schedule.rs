//! Learning rate and weight decay at each iteration.

use core::f64::consts::PI;
use core::fmt;
use core::str::FromStr;

/// How the learning rate falls from its peak after the warm-up.
///
/// With p the share of the iterations after the warm-up that has passed, all are 1 at p = 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// `cos`: half a cosine down to the end.
    Cosine,
    /// `lin` holds the peak for 15 % of the way, `lin0` for 5 %, `lin00` not at all; then a straight
    /// line down to the end. The line is the one from 1 at p = hold that would reach the end at p = 1.
    Linear {
        /// Share of the way at the peak, 0 to 1.
        hold: f64,
    },
    /// `linX`: two straight lines that meet at p = X, half-way between the peak and where one line
    /// from the peak would be.
    Bent {
        /// Where they meet, 0 to 1.
        at: f64,
    },
    /// `exp`: the peak for 15 % of the way, then an exponential down to the end.
    Exponential,
}

/// Share of the way that `lin` and `exp` hold the peak.
const HOLD: f64 = 0.15;
/// Share of the way that `lin0` holds the peak.
const SHORT_HOLD: f64 = 0.05;

/// Learning rate and weight decay over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// How the rate falls.
    pub decay: Decay,
    /// The highest learning rate.
    pub peak: f64,
    /// The rate of the first iteration, as a share of the peak (`--wp0`).
    pub start: f64,
    /// The rate of the last iteration, as a share of the peak (`--wpe`).
    pub end: f64,
    /// Iterations of the warm-up, in which the rate rises in a straight line.
    pub warmup: u64,
    /// All iterations.
    pub iterations: u64,
    /// Weight decay of the first iteration (`--twd`).
    pub weight_decay: f64,
    /// Weight decay of the last iteration (`--twde`), reached by half a cosine.
    pub weight_decay_end: f64,
}

impl Schedule {
    /// The learning rate of `iteration`, counted from 0.
    pub fn learning_rate(&self, iteration: u64) -> f64 {
        if iteration < self.warmup {
            let done = iteration as f64 / self.warmup as f64;
            return self.peak * (self.start + (1.0 - self.start) * done);
        }
        let passed = share(iteration - self.warmup, self.iterations.saturating_sub(self.warmup));
        self.peak * self.decay.factor(passed, self.end)
    }

    /// The weight decay of `iteration`, counted from 0.
    pub fn weight_decay(&self, iteration: u64) -> f64 {
        let (from, to) = (self.weight_decay, self.weight_decay_end);
        to + (from - to) * half_cosine(share(iteration, self.iterations))
    }
}

/// How much of `steps` steps has passed at step `step`: 0 at the first, 1 at the last.
fn share(step: u64, steps: u64) -> f64 {
    if steps < 2 { 1.0 } else { (step as f64 / (steps - 1) as f64).min(1.0) }
}

/// 1 at 0, 0 at 1.
fn half_cosine(x: f64) -> f64 {
    0.5 + 0.5 * (PI * x).cos()
}

impl Decay {
    /// `lin0`, the published default.
    pub const LIN0: Self = Self::Linear { hold: SHORT_HOLD };

    /// The rate as a share of the peak when `passed` of the way, 0 to 1, has passed; `end` at 1.
    fn factor(self, passed: f64, end: f64) -> f64 {
        let rest = 1.0 - passed;
        match self {
            Self::Cosine => end + (1.0 - end) * half_cosine(passed),
            Self::Linear { hold } if passed < hold => 1.0,
            Self::Linear { hold } => end + (1.0 - end) * rest / (1.0 - hold),
            Self::Bent { at } => {
                let middle = 0.5 * (1.0 + end + (1.0 - end) * (1.0 - at));
                if passed < at {
                    1.0 + (middle - 1.0) * passed / at
                } else {
                    end + (middle - end) * rest / (1.0 - at)
                }
            }
            Self::Exponential if passed < HOLD => 1.0,
            Self::Exponential => ((passed - HOLD) / (1.0 - HOLD) * end.ln()).exp(),
        }
    }
}

/// A name that is none of `cos`, `lin`, `lin0`, `lin00`, `exp`, `lin` and a number between 0 and 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schedule {0:?}: it is cos, lin, lin0, lin00, exp, or lin and a number between 0 and 1")]
pub struct UnknownDecay(String);

impl FromStr for Decay {
    type Err = UnknownDecay;

    fn from_str(name: &str) -> Result<Self, UnknownDecay> {
        let unknown = || UnknownDecay(name.to_owned());
        match name {
            "cos" => Ok(Self::Cosine),
            "lin" => Ok(Self::Linear { hold: HOLD }),
            "lin0" => Ok(Self::Linear { hold: SHORT_HOLD }),
            "lin00" => Ok(Self::Linear { hold: 0.0 }),
            "exp" => Ok(Self::Exponential),
            _ => {
                let at: f64 =
                    name.strip_prefix("lin").ok_or_else(unknown)?.parse().map_err(|_| unknown())?;
                if at > 0.0 && at < 1.0 { Ok(Self::Bent { at }) } else { Err(unknown()) }
            }
        }
    }
}

impl fmt::Display for Decay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Cosine => f.write_str("cos"),
            Self::Linear { hold } if hold == HOLD => f.write_str("lin"),
            Self::Linear { hold } if hold == SHORT_HOLD => f.write_str("lin0"),
            Self::Linear { .. } => f.write_str("lin00"),
            Self::Bent { at } => write!(f, "lin{at}"),
            Self::Exponential => f.write_str("exp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn golden_rows() {
        let path = crate::fixture::fixture("lr_schedule.json");
        let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let number = |key: &str| golden[key].as_f64().unwrap();
        let mut rows_seen = 0;
        for (name, rows) in golden["rows"].as_object().unwrap() {
            let schedule = Schedule {
                decay: name.parse().unwrap(),
                peak: number("peak_lr"),
                start: number("wp0"),
                end: number("wpe"),
                warmup: number("warmup_iters") as u64,
                iterations: number("max_iters") as u64,
                weight_decay: number("wd"),
                weight_decay_end: number("wd_end"),
            };
            for row in rows.as_array().unwrap() {
                let iteration = row[0].as_u64().unwrap();
                let columns = [schedule.learning_rate(iteration), schedule.weight_decay(iteration)];
                for (got, want) in columns.into_iter().zip([&row[1], &row[2]]) {
                    let want = want.as_f64().unwrap();
                    assert!((got - want).abs() <= 1e-9 * want, "{name} {iteration}: {got} {want}");
                }
                rows_seen += 1;
            }
        }
        assert!(rows_seen > 30);
    }

    proptest! {
        #[test]
        fn rates_stay_between_their_ends(
            name in prop::sample::select(vec!["cos", "lin", "lin0", "lin00", "lin0.4", "exp"]),
            warmup in 0_u64..20, more in 1_u64..300, iteration in 0_u64..400,
        ) {
            let schedule = Schedule {
                decay: name.parse().unwrap(),
                peak: 2.0,
                start: 0.005,
                end: 0.01,
                warmup,
                iterations: warmup + more,
                weight_decay: 0.05,
                weight_decay_end: 0.08,
            };
            let rate = schedule.learning_rate(iteration);
            prop_assert!((0.01 - 1e-12..=2.0 + 1e-12).contains(&rate), "{rate}");
            let decay = schedule.weight_decay(iteration);
            prop_assert!((0.05 - 1e-12..=0.08 + 1e-12).contains(&decay), "{decay}");
        }
    }

    #[test]
    fn names_are_read_and_written() {
        for name in ["cos", "lin", "lin0", "lin00", "lin0.4", "exp"] {
            assert_eq!(name.parse::<Decay>().unwrap().to_string(), name);
        }
        for name in ["", "linear", "lin1", "lin-0.5", "linNaN", "step"] {
            assert!(name.parse::<Decay>().is_err(), "{name}");
        }
    }
}
