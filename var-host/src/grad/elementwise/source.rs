//! The kernels.

use crate::grad::kernel_sources::{TABLE, kernel_source};

kernel_source!("elementwise", "kernel.cu", TABLE);
