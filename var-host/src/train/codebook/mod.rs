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
//! | [`spread`] | draws the features of a scale towards the codes that are rare there |
//! | [`average`] | moves codes to the mean of their features: k-means, averaged over steps |
//! | [`revival`] | puts codes that nothing hits where features are |
//!
//! It runs on the host: codebook and residuals are small beside everything else.

pub mod average;
pub mod residuals;
pub mod revival;
pub mod spread;
pub mod usage;

pub use average::Average;
pub use residuals::Residuals;
pub use revival::Revival;
pub use spread::Spread;
pub use usage::Usage;
