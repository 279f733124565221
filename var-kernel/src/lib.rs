//! Visual autoregressive image generation over plain slices.
//!
//! No standard library, no allocator, no input or output, no threads of its own: the caller lends
//! memory ([`arena`]) and threads ([`cpu::workers`]).
//!
//! Read in this order; a module uses only modules above it.
//!
//! | module | holds |
//! |---|---|
//! | [`memory`] | runs of `f32` on some device |
//! | [`arena`] | memory lent by the caller, handed out and taken back |
//! | [`image`] | planes in [−1, 1] ↔ bytes |
//! | [`remote`] | slices the host can point at but not read |
//! | [`cpu`] | instruction sets, vectors, polynomials, matrix products, lent threads |
//! | `cuda` | NVIDIA cards (feature `cuda`) |
//! | [`sample`] | one row of logits → one token: guidance, top-k, top-p, the random numbers |
//! | [`ops`] | the vocabulary every backend speaks, one folder an operation |
//! | [`dry`] | a backend that computes nothing: checks shapes, counts work, sizes arenas |
//! | [`model`] | configuration, weights, transformer, quantizer, VQVAE |
//! | [`edit`] | which cells an edit keeps, scale by scale |
//! | [`score`] | how likely a picture's tokens are |
//! | [`generate`] | the whole flow: class → tokens per scale → latent → picture |
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(test, feature = "cuda"))]
extern crate std;

pub mod arena;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod dry;
pub mod edit;
pub mod generate;
pub mod image;
pub mod memory;
pub mod model;
pub mod ops;
pub mod remote;
pub mod sample;
pub mod score;

#[cfg(all(test, feature = "cuda"))]
#[path = "../../tests/fixture.rs"]
#[allow(dead_code, reason = "the kernel has no golden files of its own")]
mod fixture;
