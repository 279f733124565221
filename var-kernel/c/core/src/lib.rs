//! C interface of VAR without std: no allocator, no threads of its own, no calls of the system.
//!
//! `varimage_core.h` beside this crate is its documentation.
//!
//! | file | holds |
//! |---|---|
//! | `block` | a piece of the caller's memory, handed out in order |
//! | `workers` | threads of the caller's, each with its scratch memory |
//! | `model` | a model file bound in the caller's memory |
//! | `run` | a run drawn one scale at a call |
//! | `finite` | images of values known to be finite |
//! | `entry` | the text of a failure; panics |
#![no_std]
#![allow(clippy::result_large_err, reason = "a text lies where its failure does: there may be no heap")]

mod block;
mod entry;
mod finite;
mod model;
mod run;
mod workers;
