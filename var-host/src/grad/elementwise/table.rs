//! Sums over the rows that share a row of a table, on a GPU: `table.cuh` beside this.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::parts::{Kernel, Launch};

use super::source::SOURCE;
use crate::grad::table::TableSlice;

/// Columns of a block.
const COLUMNS: usize = 32;

/// The fewest rows that are worth a block of their own.
const ROWS: usize = 64;

/// Blocks that keep a multiprocessor busy.
const BLOCKS: usize = 8;

const ADD_TABLE_PARTS: Kernel = Kernel::new(&SOURCE, "add_table_parts");

/// Launches `kernel`, with `TABLE_PARAMETERS` as its first parameters, for `rows` rows of `width`;
/// `operands` adds the rest of its arguments.
pub(in crate::grad) fn sum_into_table(
    cuda: &Cuda,
    kernel: Kernel,
    dtable: &mut Remote,
    part: TableSlice,
    rows: usize,
    width: usize,
    operands: impl FnOnce(Launch) -> Launch,
) -> Result<(), CudaError> {
    let TableSlice { start, stride, rows: each } = part;
    let entries = rows.div_ceil(each);
    let blocks = entries * width.div_ceil(COLUMNS);
    let wanted = (BLOCKS * cuda.properties().multiprocessors as usize).div_ceil(blocks);
    let parts = wanted.min(each.min(rows).div_ceil(ROWS));
    let to = match parts {
        1 => dtable.address(),
        parts => cuda.scratch(parts * entries * width)?,
    };
    let launch = Launch::new(kernel, [blocks, parts, 1], 256).address(to).size(start);
    let launch = operands(launch.size(stride).size(each).size(rows).size(width));
    if parts == 1 {
        return cuda.launch(launch, [(dtable, Dtype::F32)]);
    }
    cuda.launch_to_scratch(launch)?;
    let launch = Launch::for_each(ADD_TABLE_PARTS, entries * width).slice(dtable).address(to);
    let launch = launch.size(start).size(stride).size(entries).size(width).size(parts);
    cuda.launch(launch, [(dtable, Dtype::F32)])
}
