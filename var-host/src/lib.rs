//! Files, threads and memory for [`var_kernel`].
#![deny(unsafe_code)]
