//! leaky_relu on a card: one thread a number.

use super::LeakyRelu;
use crate::cuda::command::Launch;
use crate::cuda::text::{Kernel, Text};
use crate::cuda::{Cuda, CudaError, Element, Remote};
use crate::memory::Floats;

pub(crate) static TEXT: Text = Text::new("leaky_relu", include_str!("kernel.cu"));

const LEAKY_RELU: Kernel = Kernel::new(&TEXT, "leaky_relu");

impl LeakyRelu for Cuda {
    fn leaky_relu(&self, out: &mut Remote, x: &Remote, slope: f32) -> Result<(), CudaError> {
        let length = out.len();
        assert_eq!(length, x.len(), "leaky_relu: lengths differ");
        if length == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.single(x, length)?;
        let launch = Launch::for_each(LEAKY_RELU, length).run(out).address(x);
        self.launch(launch.float(slope).length(length), [(out, Element::F32)])
    }
}
