//! Gradients of a linear layer on a GPU: products of operands as they lie, on tensor cores (16-bit) or in
//! f32.

use var_kernel::cuda::gemm::{GemmEpilogue, Product, Shape};
use var_kernel::cuda::{Cuda, CudaError, CudaMatrix, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::linear::Dims;
use var_kernel::parts::{Kernel, Launch, PRODUCT};

use super::LinearBackward;
use crate::grad::Addressable;
use crate::grad::kernel_sources::kernel_source;

kernel_source!("linear", "kernel.cu", PRODUCT);

/// Bytes that one access moves at most.
const ACCESS: u64 = 16;

/// Half numbers of one access: rows that tensor cores' tiles are cut from are a multiple of it.
const PIECE: usize = 8;

/// Blocks that a multiprocessor holds at once.
const AT_ONCE: usize = 2;

/// Blocks that share a tile's depth at most.
const MAX_PARTS: usize = 32;

/// The least depth that is worth a block of its own.
const SHORTEST_PART: usize = 128;

/// Cost of one more launch, in steps of one along the depth.
const LAUNCH_COST: usize = 128;

/// Cost of writing one part of a tile and reading it again, in the same unit.
const PART_COST: usize = 2;

const ADD_PARTS: Kernel = Kernel::new(&SOURCE, "add_parts");

/// Which of the two products.
#[derive(Clone, Copy)]
enum Gradient {
    X,
    Weight,
}

impl Gradient {
    fn size(self, Dims { rows, inner, outer }: Dims) -> Size {
        match self {
            Self::X => Size { rows, columns: inner, depth: outer },
            Self::Weight => Size { rows: outer, columns: inner, depth: rows },
        }
    }

    /// The product as the library would compute it.
    fn by_library(self, Size { rows, columns, depth }: Size, operands: Dtype) -> Shape {
        Shape {
            rows,
            columns,
            depth,
            a_transposed: matches!(self, Self::Weight),
            b_transposed: true,
            operands,
            out: Dtype::F32,
            epilogue: GemmEpilogue::Adds,
        }
    }

    fn kernel(self, half: bool, large: bool) -> Kernel {
        let name = match (self, half, large) {
            (Self::X, false, false) => "dx_64",
            (Self::X, false, true) => "dx_128",
            (Self::X, true, false) => "dx_half_64",
            (Self::X, true, true) => "dx_half_128",
            (Self::Weight, false, false) => "dweight_64",
            (Self::Weight, false, true) => "dweight_128",
            (Self::Weight, true, false) => "dweight_half_64",
            (Self::Weight, true, true) => "dweight_half_128",
        };
        Kernel::new(&SOURCE, name)
    }
}

/// Bytes of shared memory of a block of shorts: both tiles, 64 of the depth at a time.
fn shared(large: bool) -> usize {
    if large { 2 * 128 * 128 * 3 } else { 2 * 64 * 128 * 4 }
}

impl LinearBackward for Cuda {
    /// On tensor cores gradients are rounded to the precision's format first: the loss must be scaled so
    /// that they do not vanish.
    fn linear_backward_x(
        &self,
        dx: &mut Remote,
        dy: &Remote,
        weight: CudaMatrix<'_>,
        d: Dims,
    ) -> Result<(), CudaError> {
        let Dims { rows, inner, outer } = d;
        assert_eq!(dx.len(), rows * inner, "linear_backward_x: dx is not rows × inner");
        assert_eq!(dy.len(), rows * outer, "linear_backward_x: dy is not rows × outer");
        assert_eq!(weight.len(), outer * inner, "linear_backward_x: weight is not outer × inner");
        add_product(self, dx, dy, weight, Gradient::X, d)
    }

    /// Rounds gradients as [`LinearBackward::linear_backward_x`] does. Blocks that share the rows have a
    /// chain each, and their sums are added in order.
    fn linear_backward_weight(
        &self,
        dweight: &mut Remote,
        dy: &Remote,
        x: &Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        let Dims { rows, inner, outer } = d;
        let weights = outer * inner;
        assert_eq!(dweight.len(), weights, "linear_backward_weight: dweight is not outer × inner");
        assert_eq!(dy.len(), rows * outer, "linear_backward_weight: dy is not rows × outer");
        assert_eq!(x.len(), rows * inner, "linear_backward_weight: x is not rows × inner");
        add_product(self, dweight, dy, self.matrix_of(x), Gradient::Weight, d)
    }
}

/// Adds a product of `dy` and `right` to `out`.
fn add_product(
    cuda: &Cuda,
    out: &mut Remote,
    dy: &Remote,
    right: CudaMatrix<'_>,
    gradient: Gradient,
    d: Dims,
) -> Result<(), CudaError> {
    let size = gradient.size(d);
    let Size { rows, columns, depth } = size;
    if [rows, columns, depth].contains(&0) {
        return Ok(());
    }
    cuda.fresh_scratch();
    let (numbers, has) = (right.numbers(), right.dtype());
    // All rows begin at whole accesses: in models, always.
    let aligned = [&*out, dy, numbers].iter().all(|run| run.address().is_multiple_of(ACCESS));
    let whole = |piece| d.outer.is_multiple_of(piece) && d.inner.is_multiple_of(piece);
    let dtype = if aligned && whole(PIECE) { cuda.inner() } else { Dtype::F32 };
    // Both gradients of a layer read it, one after the other.
    let left = cuda.operand_cached(dy, dtype)?;
    let right = cuda.operand_as(numbers.address(), right.len(), has, dtype)?;

    let shape = gradient.by_library(size, dtype);
    if cuda.prefers_cublaslt(&shape, &[out.address(), left, right]) {
        return cuda.multiply(out, Product::new(shape, left, right));
    }
    let Tiling { large, parts } = Tiling::of(size, cuda.properties().multiprocessors as usize);
    let to = if parts == 1 { out.address() } else { cuda.scratch(parts * rows * columns)? };
    let kernel = gradient.kernel(dtype != Dtype::F32, large);
    let launch = Launch::new(kernel, [size.tiles(large), parts, 1], 256).address(to);
    let launch = launch.address(left).address(right).size(rows).size(columns).size(depth);
    let launch = if dtype == Dtype::F32 {
        let aligned = whole(4) && [left, right].iter().all(|at| at.is_multiple_of(ACCESS));
        launch.size(aligned.into())
    } else {
        launch.sharing(shared(large))
    };
    if parts == 1 {
        return cuda.launch(launch, [(out, Dtype::F32)]);
    }
    cuda.launch_to_scratch(launch)?;
    let launch = Launch::for_each(ADD_PARTS, out.len()).slice(out).address(to);
    cuda.launch(launch.size(parts).length(out.len()), [(out, Dtype::F32)])
}

/// Sizes of a product: `rows × columns` sums of `depth` products each.
#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    columns: usize,
    depth: usize,
}

impl Size {
    /// How many tiles there are.
    fn tiles(self, large: bool) -> usize {
        let side = if large { 128 } else { 64 };
        self.rows.div_ceil(side) * self.columns.div_ceil(side)
    }
}

/// How a product is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tiling {
    /// Whether tiles are 128 × 128.
    large: bool,
    /// Blocks that share a tile's depth.
    parts: usize,
}

impl Tiling {
    /// The quickest for a GPU of so many multiprocessors: whole rounds of blocks, and few parts.
    fn of(size: Size, multiprocessors: usize) -> Self {
        let large = size.rows.min(size.columns) > 64;
        let tiles = size.tiles(large);
        let time = |parts: &usize| {
            let rounds = (tiles * parts).div_ceil(AT_ONCE * multiprocessors);
            let adding = if *parts == 1 { 0 } else { LAUNCH_COST + PART_COST * tiles * parts };
            rounds * size.depth.div_ceil(*parts) + adding
        };
        let most = (size.depth / SHORTEST_PART).clamp(1, MAX_PARTS);
        Self { large, parts: (1..=most).min_by_key(time).unwrap_or(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_depth_fill_the_gpu() {
        let parts = |rows, columns, depth| Tiling::of(Size { rows, columns, depth }, 132).parts;
        assert_eq!(parts(1024, 1024, 32_768), 4);
        assert_eq!(parts(4096, 1024, 32_768), 1);
        assert_eq!(parts(32_768, 1024, 4096), 1);
        assert_eq!(parts(1024, 1024, 32), 1);
        assert!(parts(48, 1024, 6144) > 4);
    }

    #[test]
    fn narrow_products_have_small_tiles() {
        let large = |rows, columns| Tiling::of(Size { rows, columns, depth: 512 }, 132).large;
        assert!(!large(64, 1024) && !large(1024, 32) && large(1024, 65));
    }
}
