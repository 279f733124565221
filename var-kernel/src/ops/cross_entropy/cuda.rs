//! Cross-entropy on a GPU: one block a row.

use super::{CrossEntropy, check, check_rows};
use crate::cuda::command::Launch;
use crate::cuda::kernel_source::{Kernel, KernelSource};
use crate::cuda::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;

pub(crate) static SOURCE: KernelSource =
    KernelSource::new("cross_entropy", include_str!("kernel.cu"));

const CROSS_ENTROPY: Kernel = Kernel::new(&SOURCE, "cross_entropy");
const MOST_LIKELY: Kernel = Kernel::new(&SOURCE, "most_likely");
#[cfg(test)]
const NAIVE: Kernel = Kernel::new(&SOURCE, "cross_entropy_naive");
#[cfg(test)]
const MOST_LIKELY_NAIVE: Kernel = Kernel::new(&SOURCE, "most_likely_naive");

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
        let logits = self.operand_f32(logits, logits.len())?;
        let targets = self.send(targets)?;
        let launch = Launch::new(CROSS_ENTROPY, [out.len(), 1, 1], THREADS);
        let launch =
            launch.slice(out).address(logits).address(targets).float(smoothing).size(codes);
        self.launch(launch, [(out, Dtype::F32)])
    }

    fn most_likely(&self, tokens: &mut Remote, logits: &Remote) -> Result<(), CudaError> {
        let codes = check_rows(tokens.len(), logits.len());
        self.fresh_scratch();
        let logits = self.operand_f32(logits, logits.len())?;
        let launch = Launch::new(MOST_LIKELY, [tokens.len(), 1, 1], THREADS);
        let launch = launch.slice(tokens).address(logits).size(codes);
        self.launch(launch, [(tokens, Dtype::F32)])
    }
}

#[cfg(test)]
impl Cuda {
    /// As [`CrossEntropy::most_likely`], plainly.
    pub(crate) fn most_likely_naive(
        &self,
        tokens: &mut Remote,
        logits: &Remote,
    ) -> Result<(), CudaError> {
        let codes = check_rows(tokens.len(), logits.len());
        let launch = Launch::for_each(MOST_LIKELY_NAIVE, tokens.len()).slice(tokens).slice(logits);
        self.launch(launch.size(codes).size(tokens.len()), [(tokens, Dtype::F32)])
    }

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
        let launch = Launch::for_each(NAIVE, out.len()).slice(out).slice(logits).address(targets);
        let launch = launch.float(smoothing).size(codes).size(out.len());
        self.launch(launch, [(out, Dtype::F32)])
    }
}
