//! resize on a GPU: one thread a number.

use super::{Dims, Resize};
use crate::cuda::command::Launch;
use crate::cuda::kernel_source::{CUBIC, Kernel, KernelSource};
use crate::cuda::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;

pub(crate) static SOURCE: KernelSource =
    KernelSource::new("resize", include_str!("kernel.cu")).with(&[CUBIC]);

const BICUBIC: Kernel = Kernel::new(&SOURCE, "bicubic");
const AREA: Kernel = Kernel::new(&SOURCE, "area");

impl Resize for Cuda {
    fn bicubic(&self, out: &mut Remote, x: &Remote, d: Dims) -> Result<(), CudaError> {
        self.resize(BICUBIC, out, x, d)
    }

    fn area(&self, out: &mut Remote, x: &Remote, d: Dims) -> Result<(), CudaError> {
        self.resize(AREA, out, x, d)
    }
}

impl Cuda {
    #[track_caller]
    fn resize(
        &self,
        kernel: Kernel,
        out: &mut Remote,
        x: &Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len());
        if out.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.operand_f32(x, x.len())?;
        let launch = Launch::for_each(kernel, out.len()).slice(out).address(x);
        let launch = launch.size(d.from).size(d.to).size(d.channels).length(out.len());
        self.launch(launch, [(out, Dtype::F32)])
    }
}
