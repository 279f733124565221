//! resize on a card: one thread a number.

use super::{Dims, Resize};
use crate::cuda::command::Launch;
use crate::cuda::text::{CUBIC, Kernel, Text};
use crate::cuda::{Cuda, CudaError, Element, Remote};
use crate::memory::Floats;

pub(crate) static TEXT: Text = Text::new("resize", include_str!("kernel.cu")).with(&[CUBIC]);

const BICUBIC: Kernel = Kernel::new(&TEXT, "bicubic");
const AREA: Kernel = Kernel::new(&TEXT, "area");

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
        let x = self.single(x, x.len())?;
        let launch = Launch::for_each(kernel, out.len()).run(out).address(x);
        let launch = launch.size(d.from).size(d.to).size(d.channels).length(out.len());
        self.launch(launch, [(out, Element::F32)])
    }
}
