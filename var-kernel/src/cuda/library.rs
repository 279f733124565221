//! Matrix products by NVIDIA's library, cuBLASLt, and the choice of products for it.
//!
//! Its kernels use instructions that the ones here do not (Hopper's `wgmma`), so large products on tensor
//! cores are theirs. They know nothing of gates and residuals, which then take a kernel more. Small
//! products, bound by the bytes of their weights, stay here; so does everything in `f32`, with sums in the
//! CPU's order.

use super::command::{Command, bytes};
use super::device::Cuda;
use super::dtype::{Dtype, Precision};
use super::error::CudaError;
use super::gemm::{ALIGNED, GemmEpilogue, Product, Shape};
use crate::remote::Remote;

impl Cuda {
    /// Whether the library is the one to ask for a product of this shape, its operands at `addresses`.
    pub fn prefers_cublaslt(&self, shape: &Shape, addresses: &[u64]) -> bool {
        (shape.operands != Dtype::F32 || self.precision() == Precision::Tf32)
            && shape.is_aligned()
            && addresses.iter().all(|address| address.is_multiple_of(ALIGNED))
            && self.driver.multiplies(shape)
    }

    /// The library's name and version, if large products go there.
    pub fn library(&self) -> Option<std::string::String> {
        self.driver.library()
    }

    /// Asks the library for a product, into `out`.
    ///
    /// # Errors
    /// Only the GPU's own.
    ///
    /// # Panics
    /// If `out` is too half, or the library is not to be preferred: [`Cuda::prefers_cublaslt`].
    pub fn multiply(&self, out: &mut Remote, product: Product) -> Result<(), CudaError> {
        let Shape { rows, columns, out: dtype, .. } = product.shape;
        let (has, wants) = (bytes(out), (rows * columns * dtype.bytes()) as u64);
        assert!(wants <= has, "multiply: {wants} bytes are wanted, {has} given");
        self.record(out.address(), has, dtype);
        self.multiply_to_scratch(out.address(), product)
    }

    /// As [`Cuda::multiply`], into scratch memory.
    ///
    /// # Errors
    /// Only the GPU's own.
    ///
    /// # Panics
    /// As [`Cuda::multiply`].
    pub fn multiply_to_scratch(&self, out: u64, product: Product) -> Result<(), CudaError> {
        let Product { shape, left, right, bias, .. } = product;
        let addresses = [out, left, right, bias.unwrap_or(0)];
        assert!(self.prefers_cublaslt(&shape, &addresses), "multiply: {shape:?} is not for it");
        let with_bias = matches!(shape.epilogue, GemmEpilogue::Bias | GemmEpilogue::BiasGelu);
        assert_eq!(bias.is_some(), with_bias, "multiply: a bias where there is none, or none");
        self.queue.borrow_mut().enqueue(Command::Multiply(Product { out, ..product }))
    }
}
