//! Cross-entropy on a card: one block a row.

use super::{CrossEntropy, check};
use crate::cuda::command::Launch;
use crate::cuda::text::{Kernel, Text};
use crate::cuda::{Cuda, CudaError, Element, Remote};
use crate::memory::Floats;

pub(crate) static TEXT: Text = Text::new("cross_entropy", include_str!("kernel.cu"));

const CROSS_ENTROPY: Kernel = Kernel::new(&TEXT, "cross_entropy");
#[cfg(test)]
const NAIVE: Kernel = Kernel::new(&TEXT, "cross_entropy_naive");

const THREADS: u32 = 256;

impl CrossEntropy for Cuda {
    fn cross_entropy(
        &self,
        out: &mut Remote,
        logits: &Remote,
        targets: &[u32],
        smoothing: f32,
    ) -> Result<(), CudaError> {
        let codes = check(out.len(), logits.len(), targets);
        self.fresh_scratch();
        let logits = self.single(logits, logits.len())?;
        let targets = self.send(targets)?;
        let launch = Launch::new(CROSS_ENTROPY, [out.len(), 1, 1], THREADS);
        let launch = launch.run(out).address(logits).address(targets).float(smoothing).size(codes);
        self.launch(launch, [(out, Element::F32)])
    }
}

#[cfg(test)]
impl Cuda {
    /// As [`CrossEntropy::cross_entropy`], plainly.
    pub(crate) fn cross_entropy_naive(
        &self,
        out: &mut Remote,
        logits: &Remote,
        targets: &[u32],
        smoothing: f32,
    ) -> Result<(), CudaError> {
        let codes = check(out.len(), logits.len(), targets);
        let targets = self.send(targets)?;
        let launch = Launch::for_each(NAIVE, out.len()).run(out).run(logits).address(targets);
        let launch = launch.float(smoothing).size(codes).size(out.len());
        self.launch(launch, [(out, Element::F32)])
    }
}
