//! What both C libraries share: status codes, structures that begin with their size, pointers of the caller.
//!
//! | file | holds |
//! |---|---|
//! | `status` | codes, and texts of a fixed length |
//! | `pointers` | pointers of the caller → references, checked for null |
//! | `options` | structures that begin with their size |
//! | `sizes` | sizes of a model: `var_info` |
#![no_std]
#![allow(
    clippy::result_large_err,
    reason = "a text lies where its failure does: there may be no heap"
)]

pub mod options;
pub mod pointers;
pub mod sizes;
pub mod status;

pub use status::{Failure, Status, Text};
