//! Temperature: the logits divided by τ before they are filtered.

use core::ops::RangeInclusive;

/// Temperatures that programs take of their users.
pub const RANGE: RangeInclusive<f32> = 0.01..=100.0;

/// `logits = logits / temperature`: below 1 likely tokens become likelier, above 1 all come nearer to
/// each other; 1 changes nothing.
///
/// ```
/// let mut logits = [1.0, -2.0];
/// var_kernel::sample::temperature::divide(&mut logits, 0.5);
/// assert_eq!(logits, [2.0, -4.0]);
/// ```
///
/// # Panics
/// If the temperature is not above 0.
pub fn divide(logits: &mut [f32], temperature: f32) {
    check(temperature);
    if temperature != 1.0 {
        logits.iter_mut().for_each(|logit| *logit /= temperature);
    }
}

/// Panics unless `temperature` is above 0.
#[track_caller]
pub(crate) fn check(temperature: f32) {
    assert!(temperature > 0.0, "temperature: {temperature} is not above 0");
}
