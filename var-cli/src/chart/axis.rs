//! One axis: its range, where its labels are, how they are written.

use core::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// Labels wanted on an axis, about.
const LABELS: f64 = 6.0;

/// An axis, linear or logarithmic.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    labels: Vec<f64>,
}

impl Axis {
    /// An axis for `values`, of which those that are not finite (and, on a logarithmic axis, those
    /// that are not positive) do not count; the ends lie `margin` of its length beyond them.
    pub(super) fn new(
        values: impl Iterator<Item = f64>,
        logarithmic: bool,
        margin: f64,
    ) -> Option<Self> {
        let shown = values.filter(|value| shows(*value, logarithmic));
        let ends = shown.fold(None, |ends, x| match ends {
            None => Some((x, x)),
            Some((low, high)) => Some((f64::min(low, x), f64::max(high, x))),
        });
        let (low, high) = ends?;
        let inverse = |x: f64| if logarithmic { x.exp() } else { x };
        let forward = |x: f64| if logarithmic { x.ln() } else { x };
        let (mut low, mut high) = (forward(low), forward(high));
        if high - low <= 1e-9 * low.abs().max(high.abs()) {
            // One value alone: some room around it.
            let room = if logarithmic { 1.0 } else { (0.1 * low.abs()).max(1e-6) };
            (low, high) = (low - room, high + room);
        }
        let room = margin * (high - low);
        let (low, high) = (inverse(low - room), inverse(high + room));
        if !(low.is_finite() && high.is_finite()) {
            return None;
        }
        let labels = if logarithmic { decades(low, high) } else { steps(low, high) };
        Some(Self { low, high, logarithmic, labels })
    }

    /// Where a value lies: 0 at the low end, 1 at the high one.
    fn place(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }
}

/// Whether a value has a place on the axis.
pub(super) fn shows(value: f64, logarithmic: bool) -> bool {
    value.is_finite() && (!logarithmic || value > 0.0)
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn steps(low: f64, high: f64) -> Vec<f64> {
    let wanted = (high - low) / LABELS;
    let decade = 10_f64.powf(wanted.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
    // The ends are rounded: a step that just fits may seem a little too short.
    let fits = |step: &f64| *step >= wanted * (1.0 - 1e-9);
    let step = step.into_iter().find(fits).unwrap_or(wanted);
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    // By division where the step is a fraction, so that 0.3 is 3/10 and not 3·0.1.
    let inverse = (1.0 / step).round();
    let of = |n: f64| if step < 1.0 { n / inverse } else { n * step };
    (0..=(last - first) as usize).map(|n| of(first + n as f64)).collect()
}

/// Powers of ten; 2 and 5 times them, or steps, where there are few.
fn decades(low: f64, high: f64) -> Vec<f64> {
    let exponents = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let every = exponents.clone().count().div_ceil(LABELS as usize + 1);
    let powers = |factors: &[f64]| -> Vec<f64> {
        let powers = exponents.clone().step_by(every).map(|exponent| 10_f64.powi(exponent));
        let labels = powers.flat_map(|power| factors.iter().map(move |factor| factor * power));
        labels.filter(|label| (low..=high).contains(label)).collect()
    };
    let mut labels = powers(&[1.0]);
    if labels.len() < 3 {
        labels = powers(&[1.0, 2.0, 5.0]);
    }
    if labels.len() < 3 { steps(low, high) } else { labels }
}

/// A number as a label: short, and exact for the labels above.
pub(super) fn text(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if (1e-3..1e6).contains(&magnitude) {
        // At most six decimals, none of them idle.
        let text = format!("{value:.6}");
        return text.trim_end_matches('0').trim_end_matches('.').replace('-', "−");
    }
    let text = format!("{value:.3e}");
    let (digits, exponent) = text.split_once('e').expect("the format writes an exponent");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits}e{exponent}").replace('-', "−")
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let place = f64::from(start) + self.place(*value) * f64::from(end - start);
        place.round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.labels.clone()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        text(*value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(values: &[f64], logarithmic: bool) -> Vec<String> {
        let axis = Axis::new(values.iter().copied(), logarithmic, 0.0).unwrap();
        axis.labels.iter().map(|label| text(*label)).collect()
    }

    #[test]
    fn labels_are_round_numbers() {
        assert_eq!(labels(&[0.0, 600.0], false), ["0", "100", "200", "300", "400", "500", "600"]);
        assert_eq!(labels(&[-0.1, 0.42], false), ["−0.1", "0", "0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(labels(&[1e-5, 1e-4], false), ["2e−5", "4e−5", "6e−5", "8e−5", "1e−4"]);
        assert_eq!(labels(&[1e-5, 1e-2], true), ["1e−5", "1e−4", "0.001", "0.01"]);
        assert_eq!(labels(&[0.9, 30.0], true), ["1", "2", "5", "10", "20"]);
        assert_eq!(labels(&[5.5, 6.7], true), ["5.6", "5.8", "6", "6.2", "6.4", "6.6"]);
        assert_eq!(labels(&[7.0, 7.0], false), ["6.5", "7", "7.5"]);
    }

    #[test]
    fn axis_without_values_is_none() {
        assert_eq!(Axis::new([f64::NAN, f64::INFINITY].into_iter(), false, 0.1), None);
        assert_eq!(Axis::new([0.0, -1.0].into_iter(), true, 0.1), None);
        assert_eq!(Axis::new([f64::MAX, -f64::MAX].into_iter(), false, 0.1), None);
    }

    proptest! {
        #[test]
        fn every_value_has_its_place(
            values in prop::collection::vec(-1e9..1e9_f64, 1..20),
            exponent in -20..20_i32,
            logarithmic: bool,
        ) {
            let values = values.into_iter().map(|x| x * 10_f64.powi(exponent));
            let values: Vec<f64> =
                if logarithmic { values.map(|x| x.abs() + 1e-30).collect() } else { values.collect() };
            let axis = Axis::new(values.iter().copied(), logarithmic, 0.05).unwrap();
            for value in values.iter().chain(&axis.labels) {
                prop_assert!((-1e-9..=1.0 + 1e-9).contains(&axis.place(*value)), "{value} {axis:?}");
                prop_assert!((0..=1000).contains(&axis.map(value, (0, 1000))));
            }
            prop_assert!((1..=20).contains(&axis.labels.len()), "{axis:?}");
            prop_assert!(axis.labels.is_sorted());
        }
    }
}
