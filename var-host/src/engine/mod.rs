//! A model at work: threads, an arena of the right size, and the kernel's flows with images going
//! in and coming out.

mod checked;
mod cost;
mod error;
mod interrupt;
mod memory;
mod requests;
mod runtime;
mod sampling;
mod spec;
mod tokens;

pub use cost::{Workload, WorkloadCost};
pub use error::EngineError;
pub use interrupt::{Interrupt, Interrupted};
pub use memory::Buffer;
pub use runtime::Engine;
pub(crate) use runtime::Runtime;
pub use spec::{ForcedBatch, ImageSpec, Sample, Sampling, ScaleProgress};
#[cfg(feature = "train")]
pub(crate) use tokens::{check_tokens, scale_major};
