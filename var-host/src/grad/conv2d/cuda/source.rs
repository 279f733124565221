//! The kernels.

use var_kernel::parts::PRODUCT;

use crate::grad::kernel_sources::kernel_source;

kernel_source!("conv2d", "../kernel.cu", PRODUCT);
