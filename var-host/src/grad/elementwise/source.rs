//! The kernels.

use crate::grad::texts::{TABLE, text};

text!("elementwise", "kernel.cu", TABLE);
