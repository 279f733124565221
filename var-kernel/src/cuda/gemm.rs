//! Matrix products as data: their provider, sizes, epilogue and operands.

use super::dtype::Dtype;

/// Provider of large matrix products on tensor cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GemmProvider {
    /// cuBLASLt where it is on this machine, else the kernels here.
    #[default]
    CublasLt,
    /// The kernels here.
    Builtin,
}

/// Addresses and rows of a product's operands are multiples of so many bytes.
pub(crate) const ALIGNED: u64 = 16;

/// Multiply-adds of a multiprocessor from which on a product is large: a tile of 128 × 128 sums, 1024 deep.
pub(super) const LARGE_PRODUCT: u64 = 1 << 24;

/// The sizes of a product `out[r, c] = epilogue(Σ_k left[r, k] · right[c, k])`, all matrices by rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows of `left` and `out`.
    pub rows: usize,
    /// Rows of `right`, columns of `out`.
    pub columns: usize,
    /// The inner dimension.
    pub depth: usize,
    /// Whether `left` lies turned, `depth × rows`.
    pub a_transposed: bool,
    /// Whether `right` lies turned, `depth × columns`.
    pub b_transposed: bool,
    /// The format of `left` and `right`; `f32` is rounded to TF32.
    pub operands: Dtype,
    /// The format of `out`.
    pub out: Dtype,
    /// Epilogue of a sum.
    pub epilogue: GemmEpilogue,
}

/// Epilogue of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GemmEpilogue {
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
    pub(super) fn is_aligned(&self) -> bool {
        let Self { rows, columns, depth, a_transposed, b_transposed, operands, out, .. } = *self;
        let left = if a_transposed { rows } else { depth };
        let right = if b_transposed { columns } else { depth };
        let whole = |numbers: usize, dtype: Dtype| {
            ((numbers * dtype.bytes()) as u64).is_multiple_of(ALIGNED)
        };
        whole(left, operands) && whole(right, operands) && whole(columns, out)
    }

    /// Whether each of a GPU's multiprocessors has so many multiply-adds of it, which keep it busy for long.
    pub(crate) fn is_large(&self, multiprocessors: u32, each: u64) -> bool {
        let multiply_adds = self.rows as u64 * self.columns as u64 * self.depth as u64;
        multiply_adds >= each * u64::from(multiprocessors)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(rows: usize, columns: usize, depth: usize) -> Shape {
        Shape {
            rows,
            columns,
            depth,
            a_transposed: false,
            b_transposed: false,
            operands: Dtype::F16,
            out: Dtype::F32,
            epilogue: GemmEpilogue::Plain,
        }
    }

    #[test]
    fn large_products_keep_the_gpu_busy() {
        assert!(
            !shape(512, 4096, 1024).is_large(132, LARGE_PRODUCT),
            "the last scale of one picture of d16"
        );
        assert!(
            shape(512, 7680, 1920).is_large(132, LARGE_PRODUCT),
            "the last scale of one picture of d30"
        );
        assert!(
            shape(32_768, 1024, 1024).is_large(132, LARGE_PRODUCT),
            "the last scale of 64 pictures of d16"
        );
        assert!(
            shape(1024, 1024, 32_768).is_large(132, LARGE_PRODUCT),
            "a gradient of its weights"
        );
    }

    #[test]
    fn rows_of_whole_accesses() {
        assert!(shape(1000, 24, 8).is_aligned());
        assert!(!shape(1000, 24, 12).is_aligned(), "depth 12 of 2 bytes");
        assert!(!shape(1000, 26, 8).is_aligned(), "26 columns of 4 bytes");
        let turned = Shape { a_transposed: true, b_transposed: true, ..shape(40, 24, 7) };
        assert!(turned.is_aligned());
        assert!(!Shape { rows: 41, ..turned }.is_aligned());
    }
}
