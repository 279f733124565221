//! The care of a codebook in training: every code in use, at every scale.
//!
//! Left alone, a multi-scale codebook collapses at the coarse scales: few features are quantized there
//! in a step, all near their mean, and the codes near that mean take them all. Three things together
//! keep it open:
//!
//! | module | does |
//! |---|---|
//! | [`residuals`] | residuals quantized by each scale of a batch, and their codes |
//! | [`usage`] | how often each code is hit at each scale, averaged over steps |
//! | [`usage_loss`] | draws the features of a scale toward the codes that are rare there |
//! | [`ema`] | moves codes to the mean of their features: k-means, averaged over steps |
//! | [`dead_codes`] | puts codes that nothing hits where features are |
//!
//! It runs on the host: codebook and residuals are small beside everything else.

pub mod dead_codes;
pub mod ema;
pub mod residuals;
pub mod usage;
pub mod usage_loss;

pub use dead_codes::DeadCodeReset;
pub use ema::EmaCodebook;
pub use residuals::Residuals;
pub use usage::Usage;
pub use usage_loss::UsageLoss;
