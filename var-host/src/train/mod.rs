//! Training: parameters in flat memory, a step's loss and gradients, the update.
//!
//! Read in this order:
//!
//! | module | holds |
//! |---|---|
//! | [`parameters`] | all weights of a network, one behind the other, by name |
//! | [`initialise`] | what they are before the first step |
//! | [`transformer`] | loss and gradients of one batch |
//! | [`codebook`] | the care of a codebook: every code in use, at every scale |
//! | [`discriminator`] | what tells real pictures from reconstructed ones |
//! | [`update`] | clipping, AdamW, the average of weights |

pub mod codebook;
pub mod discriminator;
pub mod initialise;
pub mod parameters;
pub mod transformer;
pub mod update;

pub use parameters::Layout;
pub use update::Optimizer;
