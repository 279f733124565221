//! NVIDIA GPUs as a device (feature `cuda`).
//!
//! | file | holds |
//! |---|---|
//! | [`dtype`] | formats of values on a GPU, and the precision of products |
//! | [`memory`] | memory of a GPU, owned |
//! | [`matrix`] | weights as a GPU stores them |
//! | `pictures` | samples of 8 bits to numbers and back |
//! | [`peak`] | peak rates of a GPU, and times of its kernels |
//! | [`communicator`] | GPUs of several processes that add up their numbers |
//! | [`mod@error`] | errors |
//! | `options` | how to use a GPU |
//! | `source`, `command`, `queue` | kernels as text, orders to the GPU, their way there |
//! | [`cubin_cache`] | compiled kernels, kept |
//! | `dtypes`, `operands` | in which format the numbers of each run are; how others get another |
//! | `scratch` | memory between two kernels |
//! | [`gemm`] | matrix products as data |
//! | [`library`] | matrix products by NVIDIA's library |
//! | `driver` | an NVIDIA driver; for unit tests a recorder |
//!
//! Kernels are CUDA C++ beside the operation they compute (`ops/*/kernel.cu`), compiled by NVRTC for the
//! GPU at hand when first wanted. One stream: commands run in order. Sums have one
//! order, so the same GPU gives the same bytes from run to run for the same sizes.
//!
//! With [`Precision::F32`] everything is `f32`; with [`Precision::Tf32`] too, but factors of linear layers
//! and convolutions are rounded on the way to tensor cores. With a 16-bit precision, activations inside a block
//! (normalized rows, queries, keys, values, attention's averages, the hidden layer) and weights are
//! 16-bit numbers; sums, statistics, the residual stream, maps between convolutions, logits and losses
//! stay `f32`. A run never changes its length for that: 16-bit numbers lie in its first half. Only the
//! cache of keys and values is half as long ([`Device::kv_len`](crate::ops::Attention::kv_len)).

pub(crate) mod command;
pub mod communicator;
mod conversion_cache;
pub mod cubin_cache;
mod device;
pub(crate) mod driver;
pub mod dtype;
mod dtype_map;
pub mod error;
pub mod gemm;
pub(crate) mod kernel_source;
pub mod library;
pub mod matrix;
pub mod memory;
mod operands;
mod options;
pub mod peak;
mod pictures;
mod queue;
mod scratch;
#[cfg(test)]
#[path = "../../../tests/testing/src/cuda/mod.rs"]
pub mod testing;
mod upload;

pub(crate) use command::Launch;
pub use communicator::Communicator;
pub use cubin_cache::{Compiler, CubinCache};
pub use device::Cuda;
pub use driver::{Event, GpuProperties, UniqueId};
pub use dtype::{Dtype, Precision};
pub use error::CudaError;
pub use gemm::GemmProvider;
pub use matrix::CudaMatrix;
pub use memory::Memory;
#[cfg(test)]
pub(crate) use operands::FORMATS;
pub use options::Options;
#[cfg(test)]
pub(crate) use pictures::SOURCE as PICTURES;

pub use crate::remote::Remote;
