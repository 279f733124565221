//! Gradients of the adaptive LayerNorm on a GPU: one block a row; sums over rows through a table of
//! their means and deviations.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::PerRow;
use var_kernel::ops::layer_norm::Dims;
use var_kernel::parts::{Kernel, Launch, SOME};

use super::LayerNormBackward;
use crate::grad::elementwise::sum_into_table;
use crate::grad::kernel_sources::{TABLE, kernel_source};
use crate::grad::table::TableSlice;

kernel_source!("layer_norm", "kernel.cu", SOME, TABLE);

const DX: Kernel = Kernel::new(&SOURCE, "layer_norm_dx");
const ROW_MOMENTS: Kernel = Kernel::new(&SOURCE, "row_moments");
const DSCALE: Kernel = Kernel::new(&SOURCE, "layer_norm_dscale");
const DSHIFT: Kernel = Kernel::new(&SOURCE, "layer_norm_dshift");

const THREADS: u32 = 256;

/// Bytes of four numbers, which one access moves.
const FOUR: u64 = 16;

impl LayerNormBackward for Cuda {
    fn layer_norm_backward_x(
        &self,
        dx: &mut Remote,
        dy: &Remote,
        x: &Remote,
        scale: PerRow<'_, Remote>,
        eps: f32,
        d: Dims,
    ) -> Result<(), CudaError> {
        let Dims { rows, channels } = d;
        assert_eq!(
            [dx.len(), dy.len(), x.len()],
            [rows * channels; 3],
            "layer_norm_backward_x: not rows × channels"
        );
        scale.check(rows, channels);
        if dx.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.operand_f32(x, x.len())?;
        let addresses = [dx.address(), dy.address(), x, scale.table.address()];
        let by_four = [channels, scale.start, scale.stride].iter().all(|n| n.is_multiple_of(4))
            && addresses.iter().all(|address| address.is_multiple_of(FOUR));
        let launch = Launch::new(DX, [rows, 1, 1], THREADS).slice(dx).slice(dy).address(x);
        let launch = scale.add_to(launch).float(eps).size(channels).size(by_four.into());
        self.launch(launch, [(dx, Dtype::F32)])
    }

    fn layer_norm_backward_scale(
        &self,
        dtable: &mut Remote,
        dy: &Remote,
        x: &Remote,
        part: TableSlice,
        eps: f32,
        d: Dims,
    ) -> Result<(), CudaError> {
        let Dims { rows, channels } = d;
        assert_eq!(x.len(), rows * channels, "layer_norm_backward_scale: not rows × channels");
        check_table(dtable, dy, part, d);
        if dy.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.operand_f32(x, x.len())?;
        let moments = self.scratch(2 * rows)?;
        let by_four = channels.is_multiple_of(4) && x.is_multiple_of(FOUR);
        let launch = Launch::new(ROW_MOMENTS, [rows, 1, 1], THREADS).address(moments).address(x);
        self.launch_to_scratch(launch.float(eps).size(channels).size(by_four.into()))?;
        sum_into_table(self, DSCALE, dtable, part, rows, channels, |launch| {
            launch.slice(dy).address(x).address(moments)
        })
    }

    fn layer_norm_backward_shift(
        &self,
        dtable: &mut Remote,
        dy: &Remote,
        part: TableSlice,
        d: Dims,
    ) -> Result<(), CudaError> {
        check_table(dtable, dy, part, d);
        if dy.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        sum_into_table(self, DSHIFT, dtable, part, d.rows, d.channels, |launch| launch.slice(dy))
    }
}

/// Panics unless the operands have matching lengths.
#[track_caller]
fn check_table(dtable: &Remote, dy: &Remote, part: TableSlice, Dims { rows, channels }: Dims) {
    assert_eq!(dy.len(), rows * channels, "layer_norm's gradient: dy is not rows × channels");
    part.check(dtable.len(), rows, channels);
}
