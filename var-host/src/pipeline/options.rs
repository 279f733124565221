//! Settings of a request.

use core::ops::RangeInclusive;

use var_kernel::sample::temperature;

/// Settings of sampling; the default are those of the paper's evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleOptions {
    /// Classifier-free guidance at the last scale; 0 = none.
    pub cfg: f32,
    /// Divides the logits after guidance: below 1 likelier tokens, above 1 more even ones.
    pub temperature: f32,
    /// Keep the so many most likely tokens; 0 = all.
    pub top_k: usize,
    /// Keep the most likely tokens that reach this probability; 0 = all.
    pub top_p: f32,
    /// Mix codes by Gumbel softmax instead of taking the drawn one: smoother images.
    pub more_smooth: bool,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Index of the first image; the next ones count on. An image depends on seed and index alone.
    pub first_index: u32,
    /// Images computed together: more memory, less time each, the same bytes.
    pub batch: usize,
}

impl SampleOptions {
    /// Guidance that programs take of their users: beyond it the logits are no more than rounding.
    pub const CFG: RangeInclusive<f32> = 0.0..=1000.0;

    /// Temperatures that programs take of their users.
    pub const TEMPERATURE: RangeInclusive<f32> = temperature::RANGE;
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            cfg: 1.5,
            temperature: 1.0,
            top_k: 900,
            top_p: 0.96,
            more_smooth: false,
            seed: 0,
            first_index: 0,
            batch: 4,
        }
    }
}
