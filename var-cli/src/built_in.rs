//! The built-in model, and its name.

use std::path::Path;

use var_host::model::{self, ModelError, Weights};

/// Its name in output and in images.
pub(crate) const NAME: &str = "built-in";

/// Opens the built-in model.
pub(crate) fn open() -> Result<Weights, ModelError> {
    model::built_in()
}

/// Its VQVAE alone.
pub(crate) fn vqvae_of(weights: Weights) -> Weights {
    Weights { transformer: None, class_names: Vec::new(), ..weights }
}

/// Whether an option's value names the built-in model; a file of that name is `./built-in`.
pub(crate) fn is_named(path: &Path) -> bool {
    path == Path::new(NAME)
}
