//! Classifier-free guidance: logits away from those of the null class.

/// `logits = (1 + strength) · logits − strength · unconditional`
///
/// At scale k of K the strength is `cfg · k / (K − 1)`; see [`strength`].
///
/// # Panics
/// If the lengths differ.
pub fn guide(logits: &mut [f32], unconditional: &[f32], strength: f32) {
    assert_eq!(logits.len(), unconditional.len(), "guidance: two rows of logits differ in length");
    for (logit, other) in logits.iter_mut().zip(unconditional) {
        *logit = (1.0 + strength) * *logit - strength * other;
    }
}

/// The guidance at `scale` of `scales`: it grows linearly from 0 to `cfg`.
pub fn strength(cfg: f32, scale: usize, scales: usize) -> f32 {
    (f64::from(cfg) * ratio(scale, scales)) as f32
}

/// How far along the ladder `scale` is: `k / (K − 1)`, and 0 for a ladder of one.
pub fn ratio(scale: usize, scales: usize) -> f64 {
    if scales < 2 { 0.0 } else { scale as f64 / (scales - 1) as f64 }
}
