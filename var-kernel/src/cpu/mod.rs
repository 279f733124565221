//! The CPU as a device: instruction sets, vectors, lent threads.

mod device;
pub mod isa;
pub(crate) mod math;
pub(crate) mod matmul;
pub mod matrix;
pub(crate) mod peak;
pub(crate) mod simd;
pub(crate) mod tiles;
pub mod workers;

pub use device::Cpu;
pub use isa::Isa;
pub use matrix::Matrix;
pub use workers::{Inline, Operation, SCRATCH_FLOATS, Workers};
