//! The model in the library itself.

use super::{ModelError, Weights};

/// Bytes aligned as a mapped file is, so that weights are used where they lie.
#[repr(C, align(64))]
struct Aligned<Bytes: ?Sized>(Bytes);

static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("default.safetensors"));

/// Opens the built-in model: 64 × 64 images of emoji in 57 classes.
///
/// # Errors
/// If it is damaged.
pub fn built_in() -> Result<Weights, ModelError> {
    Weights::built_in(&FILE.0)
}
