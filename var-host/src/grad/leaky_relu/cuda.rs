//! The gradient of the leaky rectifier on a card: one thread a number.

use var_kernel::cuda::{Cuda, CudaError, Element, Kernel, Launch, Remote};
use var_kernel::memory::Floats;

use super::LeakyReluBackward;
use crate::grad::texts::LEAKY_RELU;

const BACKWARD: Kernel = Kernel::new(&LEAKY_RELU, "leaky_relu_backward");

impl LeakyReluBackward for Cuda {
    fn leaky_relu_backward(
        &self,
        dx: &mut Remote,
        dy: &Remote,
        x: &Remote,
        slope: f32,
    ) -> Result<(), CudaError> {
        let length = dx.len();
        assert_eq!([dy.len(), x.len()], [length; 2], "leaky_relu_backward: lengths differ");
        if length == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let (dy, x) = (self.single(dy, length)?, self.single(x, length)?);
        let launch = Launch::for_each(BACKWARD, length).run(dx).address(dy).address(x);
        self.launch(launch.float(slope).length(length), [(dx, Element::F32)])
    }
}
