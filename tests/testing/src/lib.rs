//! Parts that the tests of all crates share; never published.
//!
//! The kernel's own unit tests include `cuda` by its path: the crate under test is another than the one that
//! packages depend on.

#[cfg(feature = "cuda")]
pub mod cuda;
