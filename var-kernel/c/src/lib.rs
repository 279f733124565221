//! C interface of VAR: image generation by next-scale prediction.
//!
//! `varimage.h` beside this crate is its documentation. A call returns a [`Status`]; the text of a failure is
//! [`var_error`](status::var_error)'s. No panic crosses the border: it becomes [`Status::Bug`].
//!
//! | file | holds |
//! |---|---|
//! | `status` | error codes and texts; the border that no panic crosses |
//! | `pointers` | pointers of the caller → references, checked for null |
//! | `options` | structures that begin with their size |
//! | `model` | opening, closing, sizes |
//! | `sample` | classes → images, with a callback after every scale |
//! | `codec` | encode, decode, reconstruct, score, logits, edit |
//! | `workers` | threads of the caller |

pub mod codec;
pub mod model;
pub mod options;
pub mod pointers;
pub mod sample;
pub mod status;
pub mod workers;

pub use status::Status;
