//! Matrix products by NVIDIA's library, cuBLASLt: their descriptions, and the choice of products for it.
//!
//! Its kernels use instructions that the ones here do not (Hopper's `wgmma`), so large products on tensor
//! cores are theirs. They know nothing of gates and residuals, which then take a kernel more. Small
//! products, bound by the bytes of their weights, stay here; so does everything in `f32`, with sums in the
//! CPU's order.

use super::Cuda;
use super::command::{Command, bytes};
use super::element::{Element, Precision};
use super::error::CudaError;
use crate::remote::Remote;

/// Provider of large matrix products on tensor cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Products {
    /// cuBLASLt where it is on this machine, else the kernels here.
    #[default]
    Library,
    /// The kernels here.
    Own,
}

/// Addresses and rows of a product's operands are multiples of so many bytes.
pub(crate) const ALIGNED: u64 = 16;

/// Multiply-adds of a multiprocessor from which on a product is large: a tile of 128 × 128 sums, 1024 deep.
const LARGE: u64 = 1 << 24;

/// The sizes of a product `out[r, c] = finish(Σ_k left[r, k] · right[c, k])`, all matrices by rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows of `left` and `out`.
    pub rows: usize,
    /// Rows of `right`, columns of `out`.
    pub columns: usize,
    /// The inner dimension.
    pub depth: usize,
    /// Whether `left` lies turned, `depth × rows`.
    pub left_turned: bool,
    /// Whether `right` lies turned, `depth × columns`.
    pub right_turned: bool,
    /// The format of `left` and `right`; `f32` is rounded to TF32.
    pub operands: Element,
    /// The format of `out`.
    pub out: Element,
    /// Epilogue of a sum.
    pub finish: Finish,
}

/// Epilogue of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finish {
    /// Nothing.
    Plain,
    /// A bias of each column is added, in the format of `out`.
    Bias,
    /// GELU in its tanh form.
    Gelu,
    /// A bias is added, then GELU.
    BiasGelu,
    /// The sum is accumulated in `out`.
    Adds,
}

impl Shape {
    /// Whether rows of all three matrices are whole accesses.
    fn is_aligned(&self) -> bool {
        let Self { rows, columns, depth, left_turned, right_turned, operands, out, .. } = *self;
        let left = if left_turned { rows } else { depth };
        let right = if right_turned { columns } else { depth };
        let whole = |numbers: usize, element: Element| {
            ((numbers * element.bytes()) as u64).is_multiple_of(ALIGNED)
        };
        whole(left, operands) && whole(right, operands) && whole(columns, out)
    }

    /// Whether it keeps a card of so many multiprocessors busy for long.
    pub(crate) fn is_large(&self, multiprocessors: u32) -> bool {
        let multiply_adds = self.rows as u64 * self.columns as u64 * self.depth as u64;
        multiply_adds >= LARGE * u64::from(multiprocessors)
    }
}

/// A product of matrices at these addresses; see [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Product {
    /// Its sizes.
    pub shape: Shape,
    /// Where `left` is.
    pub left: u64,
    /// Where `right` is.
    pub right: u64,
    /// Where the bias is, if there is one.
    pub bias: Option<u64>,
    /// Where `out` is.
    pub(crate) out: u64,
}

impl Product {
    /// `left · rightᵀ`, finished without a bias.
    pub fn new(shape: Shape, left: u64, right: u64) -> Self {
        Self { shape, left, right, bias: None, out: 0 }
    }

    /// The same with a bias at `address`.
    pub fn with_bias(self, address: Option<u64>) -> Self {
        Self { bias: address, ..self }
    }
}

impl Cuda {
    /// Whether the library is the one to ask for a product of this shape, its operands at `addresses`.
    pub fn prefers_library(&self, shape: &Shape, addresses: &[u64]) -> bool {
        (shape.operands != Element::F32 || self.precision() == Precision::Tf32)
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
    /// Only the card's own.
    ///
    /// # Panics
    /// If `out` is too short, or the library is not to be preferred: [`Cuda::prefers_library`].
    pub fn multiply(&self, out: &mut Remote, product: Product) -> Result<(), CudaError> {
        let Shape { rows, columns, out: element, .. } = product.shape;
        let (has, wants) = (bytes(out), (rows * columns * element.bytes()) as u64);
        assert!(wants <= has, "multiply: {wants} bytes are wanted, {has} given");
        self.note(out.address(), has, element);
        self.multiply_between(out.address(), product)
    }

    /// As [`Cuda::multiply`], into scratch memory.
    ///
    /// # Errors
    /// Only the card's own.
    ///
    /// # Panics
    /// As [`Cuda::multiply`].
    pub fn multiply_between(&self, out: u64, product: Product) -> Result<(), CudaError> {
        let Product { shape, left, right, bias, .. } = product;
        let addresses = [out, left, right, bias.unwrap_or(0)];
        assert!(self.prefers_library(&shape, &addresses), "multiply: {shape:?} is not for it");
        let with_bias = matches!(shape.finish, Finish::Bias | Finish::BiasGelu);
        assert_eq!(bias.is_some(), with_bias, "multiply: a bias where there is none, or none");
        self.queue.borrow_mut().ask(Command::Multiply(Product { out, ..product }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(rows: usize, columns: usize, depth: usize) -> Shape {
        Shape {
            rows,
            columns,
            depth,
            left_turned: false,
            right_turned: false,
            operands: Element::F16,
            out: Element::F32,
            finish: Finish::Plain,
        }
    }

    #[test]
    fn large_products_keep_the_card_busy() {
        assert!(!shape(512, 4096, 1024).is_large(132), "the last scale of one picture of d16");
        assert!(shape(512, 7680, 1920).is_large(132), "the last scale of one picture of d30");
        assert!(shape(32_768, 1024, 1024).is_large(132), "the last scale of 64 pictures of d16");
        assert!(shape(1024, 1024, 32_768).is_large(132), "a gradient of its weights");
    }

    #[test]
    fn rows_of_whole_accesses() {
        assert!(shape(1000, 24, 8).is_aligned());
        assert!(!shape(1000, 24, 12).is_aligned(), "depth 12 of 2 bytes");
        assert!(!shape(1000, 26, 8).is_aligned(), "26 columns of 4 bytes");
        let turned = Shape { left_turned: true, right_turned: true, ..shape(40, 24, 7) };
        assert!(turned.is_aligned());
        assert!(!Shape { rows: 41, ..turned }.is_aligned());
    }
}
