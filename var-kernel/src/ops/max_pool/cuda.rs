//! max_pool on a card: one thread a number.

use super::{Dims, MaxPool};
use crate::cuda::command::Launch;
use crate::cuda::text::{Kernel, Text};
use crate::cuda::{Cuda, CudaError, Element, Remote};
use crate::memory::Floats;

pub(crate) static TEXT: Text = Text::new("max_pool", include_str!("kernel.cu"));

const MAX_POOL: Kernel = Kernel::new(&TEXT, "max_pool");

impl MaxPool for Cuda {
    fn max_pool(&self, out: &mut Remote, x: &Remote, d: Dims) -> Result<(), CudaError> {
        d.check(out.len(), x.len());
        if out.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.single(x, x.len())?;
        let launch = Launch::for_each(MAX_POOL, out.len()).run(out).address(x);
        let launch = launch.size(d.height).size(d.width).size(d.channels).length(out.len());
        self.launch(launch, [(out, Element::F32)])
    }
}
