//! Training: parameters in flat memory, a step's loss and gradients, the update.
//!
//! Read in this order:
//!
//! | module | holds |
//! |---|---|
//! | [`parameters`] | all weights of a network, one behind the other, by name |
//! | [`initialise`] | what they are before the first step |
//! | [`room`] | memory of a step |
//! | [`transformer`] | loss and gradients of one batch |
//! | [`quantizer`] | the quantizer's training forward, and how often each code is used |
//! | [`vqvae`] | one step of the VQVAE |
//! | [`update`] | clipping, AdamW, the average of weights |

pub mod initialise;
pub mod parameters;
pub mod quantizer;
pub mod room;
pub mod transformer;
pub mod update;
pub mod vqvae;

pub use parameters::Layout;
pub use update::Optimizer;
