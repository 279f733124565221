//! Sums over rows on a GPU.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::parts::{Kernel, Launch};

use super::{Dims, Sums};
use crate::grad::kernel_sources::kernel_source;

kernel_source!("sums", "kernel.cu");

/// Columns of a block.
const COLUMNS: usize = 32;

/// Rows that are worth a block of their own.
const ROWS: usize = 256;

/// Blocks that share the rows at most.
const PARTS: usize = 64;

const SUM_ROWS: Kernel = Kernel::new(&SOURCE, "sum_rows");

impl Sums for Cuda {
    fn sum_rows(&self, out: &mut Remote, x: &Remote, d: Dims) -> Result<(), CudaError> {
        assert_eq!(x.len(), d.rows * d.stride, "sum_rows: x is not rows × stride");
        assert!(d.start + out.len() <= d.stride, "sum_rows: the part reaches over the row");
        if out.is_empty() || d.rows == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let (columns, x) = (out.len(), self.operand_f32(x, x.len())?);
        let (blocks, parts) = (columns.div_ceil(COLUMNS), d.rows.div_ceil(ROWS).min(PARTS));
        let launch = |parts| Launch::new(SUM_ROWS, [blocks, parts, 1], 256);
        if parts == 1 {
            let launch = launch(1).slice(out).address(x).length(d.rows).length(d.stride);
            let launch = launch.length(d.start).size(columns).size(1);
            return self.launch(launch, [(out, Dtype::F32)]);
        }
        let between = self.scratch(parts * columns)?;
        let first = launch(parts).address(between).address(x).length(d.rows).length(d.stride);
        self.launch_to_scratch(first.length(d.start).size(columns).size(0))?;
        let second = launch(1).slice(out).address(between).length(parts).length(columns);
        self.launch(second.length(0).size(columns).size(1), [(out, Dtype::F32)])
    }

    fn add_scaled(&self, out: &mut Remote, x: &Remote, factor: f32) -> Result<(), CudaError> {
        assert_eq!(out.len(), x.len(), "add_scaled: lengths differ");
        if out.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let (length, x) = (out.len(), self.operand_f32(x, x.len())?);
        let launch =
            Launch::for_each(Kernel::new(&SOURCE, "add_scaled"), length).slice(out).address(x);
        self.launch(launch.float(factor).length(length), [(out, Dtype::F32)])
    }

    fn fill(&self, out: &mut Remote, value: f32) -> Result<(), CudaError> {
        if out.is_empty() {
            return Ok(());
        }
        let launch =
            Launch::for_each(Kernel::new(&SOURCE, "fill"), out.len()).slice(out).float(value);
        self.launch(launch.length(out.len()), [(out, Dtype::F32)])
    }
}
