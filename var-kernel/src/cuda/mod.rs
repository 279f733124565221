//! NVIDIA cards as a device (feature `cuda`).
//!
//! | file | holds |
//! |---|---|
//! | [`element`] | formats of values on a GPU, and the precision of products |
//! | [`memory`] | memory of a card, owned |
//! | [`matrix`] | weights as a card stores them |
//! | `pictures` | samples of 8 bits to numbers and back |
//! | [`peak`] | peak rates of a GPU, and times of its kernels |
//! | [`group`] | cards of several processes that add up their numbers |
//! | [`mod@error`] | errors |
//! | `text`, `command`, `queue` | kernels as text, orders to the card, their way there |
//! | [`cubins`] | compiled kernels, kept |
//! | `contents`, `operands` | in which format the numbers of each run are; how others get another |
//! | `scratch` | memory between two kernels |
//! | [`gemm`] | matrix products as data |
//! | [`library`] | matrix products by NVIDIA's library |
//! | `driver` | an NVIDIA driver; for tests a recorder and an emulator |
//!
//! Kernels are CUDA C++ beside the operation they compute (`ops/*/kernel.cu`), compiled by NVRTC for the
//! card at hand when first wanted. One stream: commands run in order. Sums have one
//! order, so the same card gives the same bytes from run to run for the same sizes.
//!
//! With [`Precision::F32`] everything is `f32`; with [`Precision::Tf32`] too, but factors of linear layers
//! and convolutions are rounded on the way to tensor cores. With a 16-bit precision, activations inside a block
//! (normalised rows, queries, keys, values, attention's averages, the hidden layer) and weights are
//! 16-bit numbers; sums, statistics, the residual stream, maps between convolutions, logits and losses
//! stay `f32`. A run never changes its length for that: 16-bit numbers lie in its first half. Only the
//! cache of keys and values is half as long ([`Device::kept_len`](crate::memory::Device::kept_len)).

pub(crate) mod command;
mod contents;
mod conversion_cache;
pub mod cubins;
mod device;
pub(crate) mod driver;
pub mod element;
pub mod error;
pub mod gemm;
pub mod group;
pub mod library;
pub mod matrix;
pub mod memory;
mod operands;
pub mod peak;
mod pictures;
mod queue;
mod scratch;
#[cfg(any(test, feature = "emulator"))]
pub mod testing;
pub(crate) mod text;
mod upload;

pub use command::Launch;
pub use cubins::{Compiler, Cubins};
pub use device::{Cuda, Options};
pub use driver::{Card, Identity, Mark};
pub use element::{Element, Precision};
pub use error::CudaError;
pub use gemm::Products;
pub use group::Group;
pub use matrix::Matrix;
pub use memory::Memory;
#[cfg(test)]
pub(crate) use operands::FORMATS;
#[cfg(test)]
pub(crate) use pictures::TEXT as PICTURES;
pub use text::{CUBIC, Kernel, MOMENTS, PRODUCT, SOME, Text};

pub use crate::remote::Remote;
