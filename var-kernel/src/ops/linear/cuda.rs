//! linear on a GPU: tiles on tensor cores (16-bit) or in f32; few rows stream the weights.

use super::{Dims, Epilogue, Linear};
use crate::cuda::command::Launch;
use crate::cuda::gemm::{GemmEpilogue, Product, Shape};
use crate::cuda::kernel_source::{Kernel, KernelSource, PRODUCT};
use crate::cuda::{Cuda, CudaError, CudaMatrix, Dtype, GpuProperties, Remote};
use crate::memory::Floats;

pub(crate) static SOURCE: KernelSource =
    KernelSource::new("linear", include_str!("kernel.cu")).with(&[PRODUCT]);

/// Bytes that one access moves at most.
const ACCESS: u64 = 16;

/// Depths the tensor cores' tiles can be cut from.
const HALF_DEPTH: usize = 8;

/// Depths the kernels for few rows can be cut from.
const FEW_DEPTH: usize = 32;

const FINISH_SUMS: Kernel = Kernel::new(&SOURCE, "finish_sums");

/// Neighboring sums that a thread of `finish_sums` finishes.
const FINISHED_TOGETHER: usize = 4;

/// How a product is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GemmTile {
    /// Kernel that writes `f32`, and the one that writes half-precision numbers, if there is one.
    kernels: [Option<&'static str>; 2],
    rows: usize,
    columns: usize,
    /// Bytes of shared memory.
    shared: usize,
}

const F32_LARGE: GemmTile =
    GemmTile { kernels: [Some("linear_128x128"), None], rows: 128, columns: 128, shared: 0 };
const F32_SMALL: GemmTile =
    GemmTile { kernels: [Some("linear_32x64"), None], rows: 32, columns: 64, shared: 0 };
const HALF_LARGE: GemmTile = GemmTile {
    kernels: [Some("linear_half_128x128"), Some("linear_half_128x128_to_half")],
    rows: 128,
    columns: 128,
    shared: (128 + 128) * 128 * 3,
};
const HALF_SMALL: GemmTile = GemmTile {
    kernels: [Some("linear_half_64x64"), Some("linear_half_64x64_to_half")],
    rows: 64,
    columns: 64,
    shared: (64 + 64) * 128 * 4,
};
const HALF_DEEP: GemmTile = GemmTile {
    kernels: [Some("linear_half_64x64_deep"), Some("linear_half_64x64_deep_to_half")],
    shared: 2 * HALF_SMALL.shared,
    ..HALF_SMALL
};
const FEW_8: GemmTile = GemmTile {
    kernels: [Some("linear_few_8"), Some("linear_few_8_to_half")],
    rows: 8,
    columns: 16,
    shared: 0,
};
const FEW_32: GemmTile = GemmTile {
    kernels: [Some("linear_few_32"), Some("linear_few_32_to_half")],
    rows: 32,
    columns: 16,
    shared: 0,
};

impl GemmTile {
    /// How many there are in `d`.
    fn count(self, d: Dims) -> usize {
        d.rows.div_ceil(self.rows) * d.outer.div_ceil(self.columns)
    }

    /// The best for `d` in `dtype` on a GPU.
    pub(crate) fn of(d: Dims, dtype: Dtype, gpu: &GpuProperties) -> Self {
        let multiprocessors = gpu.multiprocessors as usize;
        let fills = |tile: Self| tile.count(d) >= multiprocessors;
        let alone =
            |tile: Self| tile.count(d) <= multiprocessors && tile.shared <= gpu.shared as usize;
        if dtype == Dtype::F32 {
            return if fills(F32_LARGE) { F32_LARGE } else { F32_SMALL };
        }
        match d.rows {
            0..=8 if d.inner.is_multiple_of(FEW_DEPTH) => FEW_8,
            9..=32 if d.inner.is_multiple_of(FEW_DEPTH) => FEW_32,
            _ if fills(HALF_LARGE) => HALF_LARGE,
            _ if alone(HALF_DEEP) => HALF_DEEP,
            _ => HALF_SMALL,
        }
    }
}

impl Linear for Cuda {
    /// After [`Epilogue::Gelu`] the output is in the format of activations inside a block.
    fn linear(
        &self,
        out: &mut Remote,
        x: &Remote,
        weight: CudaMatrix<'_>,
        bias: Option<&Remote>,
        epilogue: Epilogue<'_, Remote>,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len(), weight.len(), bias.map(Floats::len));
        epilogue.check(d);
        if out.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let mut dtype = weight.dtype;
        let mut weights = weight.numbers.address();
        if dtype != Dtype::F32 && !d.inner.is_multiple_of(HALF_DEPTH) {
            // Rows that do not begin at whole accesses: rare, and small where they are.
            weights = self.operand_as(weights, weight.len(), dtype, Dtype::F32)?;
            dtype = Dtype::F32;
        }
        let x = self.operand(x, d.rows * d.inner, dtype)?;
        let (x, dtype, weights) = if dtype != Dtype::F32 && !x.is_multiple_of(ACCESS) {
            let x = self.operand_as(x, d.rows * d.inner, dtype, Dtype::F32)?;
            let weights = self.operand_as(weights, weight.len(), dtype, Dtype::F32)?;
            (x, Dtype::F32, weights)
        } else {
            (x, dtype, weights)
        };
        let shape = by_library(d, dtype, epilogue);
        if self.prefers_cublaslt(&shape, &[out.address(), x, weights]) {
            return self.linear_by_library(out, Product::new(shape, x, weights), bias, epilogue, d);
        }
        let tile = GemmTile::of(d, dtype, self.properties());
        let wants_half = matches!(epilogue, Epilogue::Gelu) && self.inner() != Dtype::F32;
        let (name, written) = match tile.kernels {
            [_, Some(to_half)] if wants_half => (to_half, self.inner()),
            [Some(to_single), _] => (to_single, Dtype::F32),
            [None, _] => unreachable!("every tile has a kernel"),
        };
        let launch = Launch::new(Kernel::new(&SOURCE, name), [tile.count(d), 1, 1], 256);
        let launch = launch.sharing(tile.shared).slice(out).address(x).address(weights);
        let launch = add_epilogue(launch, bias, epilogue, d.outer);
        let launch = launch.size(d.rows).size(d.inner).size(d.outer);
        let launch = if dtype == Dtype::F32 {
            let aligned = d.inner.is_multiple_of(4)
                && x.is_multiple_of(ACCESS)
                && weights.is_multiple_of(ACCESS);
            launch.size(aligned.into())
        } else {
            launch
        };
        self.launch(launch, [(out, written)])
    }
}

/// The product as the library would compute it; another epilogue takes a kernel more.
fn by_library(d: Dims, operands: Dtype, epilogue: Epilogue<'_, Remote>) -> Shape {
    let gelu = matches!(epilogue, Epilogue::Gelu);
    Shape {
        rows: d.rows,
        columns: d.outer,
        depth: d.inner,
        a_transposed: false,
        b_transposed: false,
        operands,
        out: if gelu { operands } else { Dtype::F32 },
        epilogue: if gelu { GemmEpilogue::Gelu } else { GemmEpilogue::Plain },
    }
}

impl Cuda {
    /// `product` with its bias and its epilogue.
    fn linear_by_library(
        &self,
        out: &mut Remote,
        mut product: Product,
        bias: Option<&Remote>,
        epilogue: Epilogue<'_, Remote>,
        d: Dims,
    ) -> Result<(), CudaError> {
        // The library's own bias and GELU take a bias in the output's format.
        let fused = match (epilogue, bias) {
            (Epilogue::Gelu | Epilogue::None, None) => return self.multiply(out, product),
            (Epilogue::Gelu, Some(bias)) => Some((GemmEpilogue::BiasGelu, bias)),
            (Epilogue::None, Some(bias)) => Some((GemmEpilogue::Bias, bias)),
            _ => None,
        };
        if let Some((epilogue, bias)) = fused {
            let bias = self.operand(bias, d.outer, product.shape.out)?;
            if bias.is_multiple_of(ACCESS) {
                product.shape.epilogue = epilogue;
                return self.multiply(out, product.with_bias(Some(bias)));
            }
        }
        product.shape = Shape { out: Dtype::F32, epilogue: GemmEpilogue::Plain, ..product.shape };
        let sums = self.scratch(d.rows * d.outer)?;
        self.multiply_to_scratch(sums, product)?;
        let launch = Launch::for_each(FINISH_SUMS, out.len() / FINISHED_TOGETHER);
        let launch = add_epilogue(launch.slice(out).address(sums), bias, epilogue, d.outer);
        self.launch(launch.size(d.rows).size(d.outer), [(out, Dtype::F32)])
    }
}

/// Adds the epilogue.
fn add_epilogue(
    launch: Launch,
    bias: Option<&Remote>,
    epilogue: Epilogue<'_, Remote>,
    outer: usize,
) -> Launch {
    let launch = launch.slice_or_null(bias);
    let (none, no_table) = ([0; 3], None);
    let (kind, residual, gate, [start, stride, rows], table) = match epilogue {
        Epilogue::None => (0, None, None, none, no_table),
        Epilogue::Gelu => (1, None, None, none, no_table),
        Epilogue::Gated { residual, gate } => {
            (2, Some(residual), Some(gate.table), [gate.start, gate.stride, gate.rows], no_table)
        }
        Epilogue::Plus { table } => (3, None, None, none, Some(table)),
    };
    let launch =
        launch.size(kind).slice_or_null(residual).slice_or_null(gate).size(start).size(stride);
    launch.size(rows).slice_or_null(table).size(table.map_or(0, |table| table.len() / outer))
}

#[cfg(test)]
impl Cuda {
    /// As [`Linear::linear`], plainly and in `f32`.
    pub(crate) fn linear_naive(
        &self,
        out: &mut Remote,
        x: &Remote,
        weight: CudaMatrix<'_>,
        bias: Option<&Remote>,
        epilogue: Epilogue<'_, Remote>,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len(), weight.len(), bias.map(Floats::len));
        epilogue.check(d);
        self.fresh_scratch();
        let x = self.operand_f32(x, d.rows * d.inner)?;
        let (address, dtype) = (weight.numbers.address(), weight.dtype);
        let weights = self.operand_as(address, weight.len(), dtype, Dtype::F32)?;
        let launch = Launch::for_each(Kernel::new(&SOURCE, "linear_naive"), out.len());
        let launch = launch.slice(out).address(x).address(weights);
        let launch = add_epilogue(launch, bias, epilogue, d.outer);
        let launch = launch.size(d.rows).size(d.inner).size(d.outer);
        self.launch(launch, [(out, Dtype::F32)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_the_product_and_the_gpu() {
        let gpu = |shared| GpuProperties {
            name: "a GPU".into(),
            capability: (9, 0),
            multiprocessors: 132,
            shared,
        };
        let on = |shared, rows, inner, outer| {
            let d = Dims { rows, inner, outer };
            GemmTile::of(d, Dtype::F16, &gpu(shared)).kernels[0].unwrap()
        };
        let of = |rows, inner, outer| on(227 << 10, rows, inner, outer);
        // GPUs for graphics have less shared memory.
        assert_eq!(on(99 << 10, 512, 1024, 1024), "linear_half_64x64");
        assert_eq!(of(2, 1024, 6144), "linear_few_8");
        assert_eq!(of(18, 1024, 3072), "linear_few_32");
        assert_eq!(of(2, 40, 64), "linear_half_64x64_deep");
        assert_eq!(of(512, 1024, 1024), "linear_half_64x64_deep");
        assert_eq!(of(512, 1024, 3072), "linear_half_64x64");
        assert_eq!(of(32768, 1024, 1024), "linear_half_128x128");
    }

    #[test]
    fn tiles_cover_the_product() {
        for (rows, outer) in [(1, 1), (128, 128), (129, 1), (1000, 3001)] {
            let d = Dims { rows, inner: 64, outer };
            for tile in [F32_LARGE, F32_SMALL, HALF_LARGE, HALF_SMALL, HALF_DEEP] {
                let across = outer.div_ceil(tile.columns);
                let last = tile.count(d) - 1;
                // As the kernels find a block's tile.
                let (row, column) = (last / across * tile.rows, last % across * tile.columns);
                assert!(row < rows && rows <= row + tile.rows);
                assert!(column < outer && outer <= column + tile.columns);
            }
        }
    }
}
