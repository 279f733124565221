//! Reading PyTorch files: a pickle that describes the tensors, and the storages they view.
//!
//! The pickle is interpreted by a machine that knows tensors, storages and plain containers
//! ([`pickle`], [`global`], [`build`]); nothing is ever called. [`flatten`] turns nested dictionaries into
//! names, [`view`] checks every tensor against the bytes that the file has for it.

mod build;
mod element;
mod flatten;
mod global;
mod harmless;
pub(super) mod legacy;
mod pickle;
mod value;
mod view;
pub(super) mod zip;

#[cfg(test)]
mod tests;
