//! Parts that other crates build backends of: var-host's gradients, optimizers and metrics. **Unstable**: they change
//! with the kernel, in any release.
//!
//! | part | is |
//! |---|---|
//! | [`simd`] | vectors of sixteen `f32` on every instruction set |
//! | [`math`] | polynomials of exp, ln, tanh, GELU and SiLU over them |
//! | [`matmul`] | packed matrix products |
//! | [`tiles`] | tiles of an output, each one task's |
//! | [`winograd`] | transforms of 3×3 convolutions' tiles |
//! | [`peak`] | peak rates of a processor |
//! | `Launch`, `Kernel`, `KernelSource` | launches of CUDA kernels, and texts to share (feature `cuda`) |
//! | `nvrtc` | CUDA kernels compiled (feature `cuda`) |

/// Vectors of sixteen `f32` on every instruction set.
pub mod simd {
    pub use crate::cpu::simd::*;
}

/// Polynomials of exp, ln, tanh, GELU and SiLU over vectors.
pub mod math {
    pub use crate::cpu::math::*;
}

/// Packed matrix products.
pub mod matmul {
    pub use crate::cpu::matmul::*;
}

/// Tiles of an output, each one task's.
pub mod tiles {
    pub use crate::cpu::tiles::*;
}

/// Transforms of 3×3 convolutions' tiles.
pub mod winograd {
    pub use crate::ops::conv2d::cpu::winograd::transforms::{
        POINTS, PRODUCTS, SIDE, of_input, of_output_gradient, to_filter_gradient,
    };
}

/// Peak rates of a processor.
pub mod peak {
    pub use crate::cpu::peak::*;
}

/// CUDA kernels compiled by NVRTC.
#[cfg(feature = "cuda")]
pub mod nvrtc {
    pub use crate::cuda::driver::compile::{compile, cubin, cubin_name, is_present, version};
}

#[cfg(feature = "cuda")]
pub use crate::cuda::command::Launch;
#[cfg(feature = "cuda")]
pub use crate::cuda::kernel_source::{CUBIC, Kernel, KernelSource, MOMENTS, PRODUCT, SOME};
