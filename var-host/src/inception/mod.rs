//! Inception-v3 as the Fréchet distance of images is defined on it: the network of December 2015
//! (Szegedy and others, "Rethinking the Inception Architecture", 2015) with the weights and the resize
//! of the public evaluation code (Heusel and others, 2017; Dhariwal and Nichol, 2021).
//!
//! | file | holds |
//! |---|---|
//! | `layout` | every convolution and how they are joined |
//! | `weights` | a checkpoint's tensors, batch normalization folded into the convolutions |
//! | `network` | the forward pass, on any backend that convolves and pools |
//! | `gpu` | its weights on a GPU (feature `cuda`) |
//! | `forward` | [`Forward`]: images → features on the CPU or a GPU |
//! | `resize` | images of any size to 299 × 299, to the bit as TensorFlow 1 does |
//! | `convert` | the published `.pth` to a file of ours |

mod convert;
mod forward;
#[cfg(feature = "cuda")]
mod gpu;
mod layout;
mod network;
mod resize;
mod weights;

pub use convert::convert;
pub use forward::Forward;
#[cfg(feature = "cuda")]
pub use gpu::InceptionGpu;
pub use network::InceptionFeatures;
pub use weights::{Inception, tensors};

/// Side of the network's input.
pub const SIDE: usize = 299;

/// Width of the pooled features, compared by FID, precision and recall.
pub const POOLED: usize = 2048;

/// Width of the spatial features, seven channels of a 17 × 17 map, compared by sFID.
pub const SPATIAL: usize = 17 * 17 * SPATIAL_CHANNELS;

/// Channels of the map that the spatial features are.
const SPATIAL_CHANNELS: usize = 7;

/// Classes of the network, of which 1000 have a meaning, for the Inception Score.
pub const CLASSES: usize = 1008;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
pub(crate) mod tests;
