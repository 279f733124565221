//! VAR in the browser: a WebAssembly module of plain exports.
//!
//! An instance holds one model: opening another is a new instance, and the memory of the old one goes with
//! it. `var.mjs` beside this crate is the other side of the exports, and their documentation is in
//! `README.md`.
//!
//! | file | holds |
//! |---|---|
//! | `model` | the bytes of a file → a model ready to sample; its description as JSON |
//! | `run` | a run of sampling, one scale a call |
//! | `held` | a value that other values of the same structure borrow |
//! | `fault` | texts of failures and of panics |
//! | `exports` | the calls from JavaScript: numbers and addresses ↔ the above |
#![deny(unsafe_code)]

#[cfg(target_family = "wasm")]
mod exports;
pub mod fault;
pub mod held;
pub mod model;
pub mod run;
