//! From a row of logits to a token, over plain slices, on any host.
//!
//! The order of one draw: [`guidance`], [`temperature`], [`top_k`], [`top_p`], [`softmax`],
//! [`categorical`]; with `more_smooth`, [`gumbel`] mixes codes instead of taking the drawn one.
//! [`random`] says where the numbers come from.

pub mod categorical;
pub mod guidance;
pub mod gumbel;
pub mod random;
pub mod softmax;
pub mod temperature;
pub mod top_k;
pub mod top_p;

pub use random::UniformSource;

use crate::cpu::Isa;

/// Which tokens may be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Filter {
    /// Keep the so many most likely tokens (ties kept); 0 = all.
    pub top_k: usize,
    /// Keep the most likely tokens that together reach this probability; 0 = all.
    pub top_p: f32,
}

/// Sets the logits of all tokens that may not be drawn to −∞.
///
/// `work`: at least as long as `logits`; contents unspecified before and after.
pub fn filter(isa: Isa, logits: &mut [f32], filter: Filter, work: &mut [f32]) {
    if filter.top_k > 0 {
        top_k::keep(logits, filter.top_k, work);
    }
    if filter.top_p > 0.0 {
        top_p::keep(isa, logits, filter.top_p, work);
    }
}
