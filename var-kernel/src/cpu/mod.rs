//! The CPU as a device: instruction sets, vectors, lent threads.

mod device;
pub mod isa;
pub mod math;
pub mod matmul;
pub mod matrix;
pub mod peak;
pub mod simd;
pub mod tiles;
pub mod workers;

pub use device::Cpu;
pub use isa::Isa;
pub use matrix::Matrix;
pub use workers::{Inline, SCRATCH_FLOATS, Workers};
