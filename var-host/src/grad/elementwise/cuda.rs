//! Gradients of element-wise operations on a GPU.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::PerRow;
use var_kernel::ops::elementwise::{PlaceDims, Unary};
use var_kernel::parts::{Kernel, Launch};

use super::ElementwiseBackward;
use super::table::sum_into_table;
use crate::grad::table::TableSlice;

pub(in crate::grad) use super::source::SOURCE;

const GELU: Kernel = Kernel::new(&SOURCE, "gelu_dx");
const SILU: Kernel = Kernel::new(&SOURCE, "silu_dx");
const LEAKY_RELU: Kernel = Kernel::new(&SOURCE, "leaky_relu_dx");
const GATED_X: Kernel = Kernel::new(&SOURCE, "gated_dx");
const GATED_GATE: Kernel = Kernel::new(&SOURCE, "gated_dgate");
const SCALE_ROWS: Kernel = Kernel::new(&SOURCE, "scale_rows_dx");
const PLACE_ROWS: Kernel = Kernel::new(&SOURCE, "place_rows_dx");

impl ElementwiseBackward for Cuda {
    fn map_backward(
        &self,
        dx: &mut Remote,
        dy: &Remote,
        x: &Remote,
        f: Unary,
    ) -> Result<(), CudaError> {
        let length = dx.len();
        assert_eq!([dy.len(), x.len()], [length; 2], "{f:?}'s gradient: lengths differ");
        if length == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.operand_f32(x, length)?;
        let kernel = match f {
            Unary::Gelu => GELU,
            Unary::Silu => SILU,
            Unary::LeakyRelu { .. } => LEAKY_RELU,
        };
        let launch = Launch::for_each(kernel, length).slice(dx).slice(dy).address(x);
        let launch = match f {
            Unary::LeakyRelu { slope } => launch.float(slope),
            Unary::Gelu | Unary::Silu => launch,
        };
        self.launch(launch.length(length), [(dx, Dtype::F32)])
    }

    fn gated_backward_x(
        &self,
        dx: &mut Remote,
        dy: &Remote,
        gate: PerRow<'_, Remote>,
        width: usize,
    ) -> Result<(), CudaError> {
        assert_eq!(dx.len(), dy.len(), "gated_backward_x: lengths differ");
        gate.check(dx.len() / width, width);
        if dx.is_empty() {
            return Ok(());
        }
        let launch = over_rows(GATED_X, dx.len() / width, width).slice(dx).slice(dy);
        self.launch(gate.add_to(launch).size(width), [(dx, Dtype::F32)])
    }

    fn gated_backward_gate(
        &self,
        dtable: &mut Remote,
        dy: &Remote,
        x: &Remote,
        part: TableSlice,
        width: usize,
    ) -> Result<(), CudaError> {
        assert_eq!(dy.len(), x.len(), "gated_backward_gate: lengths differ");
        let all = dy.len() / width;
        part.check(dtable.len(), all, width);
        if all == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.operand_f32(x, x.len())?;
        sum_into_table(self, GATED_GATE, dtable, part, all, width, |launch| {
            launch.slice(dy).address(x)
        })
    }

    fn scale_rows_backward(
        &self,
        dx: &mut Remote,
        dy: &Remote,
        factors: &Remote,
    ) -> Result<(), CudaError> {
        assert_eq!(dx.len(), dy.len(), "scale_rows_backward: lengths differ");
        let width = dx.len() / factors.len();
        assert_eq!(width * factors.len(), dx.len(), "scale_rows_backward: not whole rows");
        if dx.is_empty() {
            return Ok(());
        }
        let launch = over_rows(SCALE_ROWS, factors.len(), width).slice(dx).slice(dy).slice(factors);
        self.launch(launch.size(width), [(dx, Dtype::F32)])
    }

    fn place_rows_backward(
        &self,
        dx: &mut Remote,
        dout: &Remote,
        d: PlaceDims,
    ) -> Result<(), CudaError> {
        let PlaceDims { rows, width, stride, start } = d;
        assert_eq!(dx.len(), rows * width, "place_rows_backward: dx is not rows × width");
        assert_eq!(dout.len(), rows * stride, "place_rows_backward: dout is not rows × stride");
        assert!(start + width <= stride, "place_rows_backward: the part reaches over the row");
        if dx.is_empty() {
            return Ok(());
        }
        let launch = over_rows(PLACE_ROWS, rows, width).slice(dx).slice(dout);
        self.launch(launch.size(stride).size(start).size(width), [(dx, Dtype::F32)])
    }
}

/// One thread a number of each row, in blocks of one row.
pub(in crate::grad) fn over_rows(kernel: Kernel, rows: usize, width: usize) -> Launch {
    const MAX_THREADS: usize = 256;
    const WARP: usize = 32;
    let threads = width.next_multiple_of(WARP).min(MAX_THREADS);
    Launch::new(kernel, [rows * width.div_ceil(threads), 1, 1], threads as u32)
}
