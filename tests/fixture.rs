//! Where the golden files are, for the tests of every crate.

use std::env;
use std::path::PathBuf;

/// The golden file `name`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    root().join("fixtures").join(name)
}

/// The repository, as the environment names it at run time: tests run on machines that have no folder where
/// they were built.
pub(crate) fn root() -> PathBuf {
    let folder = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR"))).join("..")
}
