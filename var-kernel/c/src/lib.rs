//! C interface of VAR: image generation by next-scale prediction.
//!
//! `varimage.h` beside this crate is its documentation. A call returns a [`Status`]; the text of a failure is
//! [`var_error`](status::var_error)'s. No panic crosses the border: it becomes [`Status::Bug`].
//!
//! | file | holds |
//! |---|---|
//! | `status` | the border that no panic crosses, and the text of a thread's last failure |
//! | `options` | structures of options with their defaults |
//! | `model` | opening, closing, sizes |
//! | `sample` | classes → images, with a callback after every scale |
//! | `codec` | encode, decode, reconstruct, score, logits, edit |
//! | `workers` | threads of the caller |

#![allow(
    clippy::result_large_err,
    reason = "a text lies where its failure does: there may be no heap"
)]

pub mod codec;
pub mod model;
pub mod options;
pub mod sample;
pub mod status;
pub mod workers;

pub use varimage_abi::Status;
