//! Gradients of resizing on a GPU: an axis' weights once, then one thread a number of the input.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::resize::Dims;
use var_kernel::parts::{CUBIC, Kernel, Launch};

use super::ResizeBackward;
use crate::grad::kernel_sources::kernel_source;

kernel_source!("resize", "kernel.cu", CUBIC);

const CUBIC_AXIS: Kernel = Kernel::new(&SOURCE, "cubic_axis");
const AREA_AXIS: Kernel = Kernel::new(&SOURCE, "area_axis");
const BACK: Kernel = Kernel::new(&SOURCE, "back");

impl ResizeBackward for Cuda {
    fn bicubic_backward(&self, dx: &mut Remote, dout: &Remote, d: Dims) -> Result<(), CudaError> {
        backward(self, CUBIC_AXIS, dx, dout, d)
    }

    fn area_backward(&self, dx: &mut Remote, dout: &Remote, d: Dims) -> Result<(), CudaError> {
        backward(self, AREA_AXIS, dx, dout, d)
    }
}

#[track_caller]
fn backward(
    cuda: &Cuda,
    axis: Kernel,
    dx: &mut Remote,
    dout: &Remote,
    d: Dims,
) -> Result<(), CudaError> {
    let Dims { batch, from, to, channels } = d;
    assert_eq!(dx.len(), batch * from * from * channels, "resize's gradient: not batch × from²");
    assert_eq!(dout.len(), batch * to * to * channels, "resize's gradient: not batch × to²");
    if dx.is_empty() || dout.is_empty() {
        return Ok(());
    }
    cuda.fresh_scratch();
    let dout = cuda.operand_f32(dout, dout.len())?;
    let matrix = cuda.scratch(from * to)?;
    let launch = Launch::for_each(axis, from * to).address(matrix).size(from).size(to);
    cuda.launch_to_scratch(launch)?;
    let launch = Launch::for_each(BACK, dx.len()).slice(dx).address(dout).address(matrix);
    let launch = launch.size(from).size(to).size(channels).length(dx.len());
    cuda.launch(launch, [(dx, Dtype::F32)])
}
