//! The model in the program itself.

use std::path::Path;

use var_host::model::{ModelError, Weights};

/// What it is called in output and in pictures.
pub(crate) const NAME: &str = "built-in";

/// Bytes aligned as a mapped file is, so that weights are used where they lie.
#[repr(C, align(64))]
struct Aligned<Bytes: ?Sized>(Bytes);

static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../../fixtures/default.safetensors"));

/// Opens the built-in model.
pub(crate) fn open() -> Result<Weights, ModelError> {
    Weights::built_in(&FILE.0)
}

/// Its VQVAE alone.
pub(crate) fn vqvae_of(weights: Weights) -> Weights {
    Weights { transformer: None, class_names: Vec::new(), ..weights }
}

/// Whether an option's value names the built-in model; a file of that name is `./built-in`.
pub(crate) fn is_named(path: &Path) -> bool {
    path == Path::new(NAME)
}
