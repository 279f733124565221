//! pool on a GPU: one thread a number.

use super::{Dims, Pool, Pooling};
use crate::cuda::kernel_source::{Kernel, KernelSource};
use crate::cuda::{Cuda, CudaError, Remote};
use crate::memory::Floats;

pub(crate) static SOURCE: KernelSource = KernelSource::new("pool", include_str!("kernel.cu"));

const MAX_POOL: Kernel = Kernel::new(&SOURCE, "max_pool");
const AVERAGE_POOL: Kernel = Kernel::new(&SOURCE, "average_pool");

impl Pool for Cuda {
    fn pool(&self, out: &mut Remote, x: &Remote, p: Pooling, d: Dims) -> Result<(), CudaError> {
        d.check(out.len(), x.len());
        let [height, width] = d.out_grid();
        let length = d.batch * height * width * d.channels;
        let kernel = match p {
            Pooling::Max => MAX_POOL,
            Pooling::Average => AVERAGE_POOL,
        };
        self.launch_elements(kernel, out, length, |launch| {
            let launch = launch.slice(out).address(self.operand_f32(x, x.len())?);
            let launch = launch.size(d.height).size(d.width).size(d.channels);
            let launch = launch.size(d.kernel).size(d.stride).size(d.padding);
            let launch = launch.size(height).size(width).size(d.into.first).size(d.into.of);
            Ok(launch.length(length))
        })
    }
}
