//! Weights as a GPU stores them.

use super::dtype::Dtype;
use crate::memory::Floats;
use crate::remote::Remote;

/// A weight matrix on a GPU.
///
/// A convolution's `outer × inner × 3 × 3` weights are stored `outer × 3 × 3 × inner`, channels last as
/// feature maps.
#[derive(Clone, Copy, Debug)]
pub struct CudaMatrix<'a> {
    pub(crate) numbers: &'a Remote,
    pub(crate) dtype: Dtype,
    pub(crate) length: usize,
}

impl<'a> CudaMatrix<'a> {
    /// The matrix of `length` numbers of `dtype` in `numbers`.
    ///
    /// # Panics
    /// If the run is shorter.
    pub fn new(numbers: &'a Remote, dtype: Dtype, length: usize) -> Self {
        let wanted = dtype.words(length);
        assert!(numbers.len() >= wanted, "matrix: {wanted} words wanted, {} given", numbers.len());
        Self { numbers, dtype, length }
    }

    /// The run they lie in.
    pub fn numbers(&self) -> &'a Remote {
        self.numbers
    }

    /// The format they are in.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// How many weights it holds.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where its numbers are.
    pub fn address(&self) -> u64 {
        self.numbers.address()
    }
}
