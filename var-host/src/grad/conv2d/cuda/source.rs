//! The kernels.

use var_kernel::cuda::PRODUCT;

use crate::grad::texts::text;

text!("conv2d", "../kernel.cu", PRODUCT);
