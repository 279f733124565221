//! Backends that can be recorded on a tape.

use var_kernel::cpu::{Cpu, Matrix};
#[cfg(feature = "cuda")]
use var_kernel::cuda::{self, Cuda, Remote};
use var_kernel::dry::{Dry, DryMatrix};
use var_kernel::memory::{Device, Floats};
use var_kernel::ops::{Backend, PerceptualBackend};
use var_kernel::remote::{DryAddresses, WORD};

/// A device with addresses that the tape can record.
pub trait Addressable: Device {
    /// Where `slice` begins, in floats from some fixed place.
    fn place(slice: &Self::Slice) -> usize;

    /// A matrix over `weights`, in whatever format they are.
    fn matrix_of<'a>(&self, weights: &'a Self::Slice) -> Self::Matrix<'a>;
}

/// A backend with operations that can be recorded on a tape.
pub trait Recordable: PerceptualBackend + Addressable {}

impl<B: PerceptualBackend + Addressable> Recordable for B {}

impl Addressable for Cpu<'_> {
    fn place(slice: &[f32]) -> usize {
        slice.as_ptr().addr() / size_of::<f32>()
    }

    fn matrix_of<'a>(&self, weights: &'a [f32]) -> Matrix<'a> {
        Matrix::F32(weights)
    }
}

impl<B: Backend> Addressable for Dry<'_, B, DryAddresses> {
    fn place(slice: &DryAddresses) -> usize {
        (slice.address() / WORD) as usize
    }

    fn matrix_of(&self, weights: &DryAddresses) -> DryMatrix {
        DryMatrix(weights.len())
    }
}

#[cfg(feature = "cuda")]
impl Addressable for Cuda {
    fn place(slice: &Remote) -> usize {
        (slice.address() / WORD) as usize
    }

    fn matrix_of<'a>(&self, weights: &'a Remote) -> cuda::CudaMatrix<'a> {
        cuda::CudaMatrix::new(weights, self.dtype_of(weights), weights.len())
    }
}
