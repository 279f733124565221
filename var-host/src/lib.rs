//! Files, threads and memory for [`var_kernel`].
#![deny(unsafe_code)]

pub mod atomic_file;
pub mod checkpoint;
pub mod pictures;
pub mod pool;
pub mod tokens;
