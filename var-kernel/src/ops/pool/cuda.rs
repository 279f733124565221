//! pool on a card: one thread a number.

use super::{Dims, Pool};
use crate::cuda::command::Launch;
use crate::cuda::text::{Kernel, Text};
use crate::cuda::{Cuda, CudaError, Element, Remote};
use crate::memory::Floats;

pub(crate) static TEXT: Text = Text::new("pool", include_str!("kernel.cu"));

const MAX_POOL: Kernel = Kernel::new(&TEXT, "max_pool");
const AVERAGE_POOL: Kernel = Kernel::new(&TEXT, "average_pool");

impl Pool for Cuda {
    fn max_pool(&self, out: &mut Remote, x: &Remote, d: Dims) -> Result<(), CudaError> {
        self.pool(MAX_POOL, out, x, d)
    }

    fn average_pool(&self, out: &mut Remote, x: &Remote, d: Dims) -> Result<(), CudaError> {
        self.pool(AVERAGE_POOL, out, x, d)
    }
}

impl Cuda {
    #[track_caller]
    fn pool(&self, kernel: Kernel, out: &mut Remote, x: &Remote, d: Dims) -> Result<(), CudaError> {
        d.check(out.len(), x.len());
        let [height, width] = d.out_grid();
        let length = d.batch * height * width * d.channels;
        if length == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.single(x, x.len())?;
        let launch = Launch::for_each(kernel, length).run(out).address(x);
        let launch = launch.size(d.height).size(d.width).size(d.channels);
        let launch = launch.size(d.kernel).size(d.stride).size(d.padding);
        let launch = launch.size(height).size(width).size(d.into.first).size(d.into.of);
        self.launch(launch.length(length), [(out, Element::F32)])
    }
}
