//! Embedding on a GPU.

use std::vec::Vec;

use super::{Embedding, check_embedding, check_force_tokens, check_lookup_codes};
use crate::cuda::kernel_source::{Kernel, KernelSource};
use crate::cuda::{Cuda, CudaError, Remote};
use crate::memory::Floats;

pub(crate) static SOURCE: KernelSource = KernelSource::new("embedding", include_str!("kernel.cu"));

const EMBEDDING: Kernel = Kernel::new(&SOURCE, "embedding");
const FORCE_TOKENS: Kernel = Kernel::new(&SOURCE, "force_tokens");

impl Embedding for Cuda {
    fn embedding(
        &self,
        out: &mut Remote,
        table: &Remote,
        indices: &[u32],
        width: usize,
    ) -> Result<(), CudaError> {
        check_embedding(out.len(), table.len(), indices, width);
        let length = out.len();
        self.launch_elements(EMBEDDING, out, length, |launch| {
            let indices = self.send(indices)?;
            let launch = launch.slice(out).slice(table).address(indices).length(width);
            Ok(launch.length(table.len() / width).length(length))
        })
    }

    /// A token past the codebook's end gives NaN.
    fn lookup_codes(
        &self,
        out: &mut Remote,
        codebook: &Remote,
        tokens: &Remote,
        width: usize,
    ) -> Result<(), CudaError> {
        check_lookup_codes(out.len(), codebook.len(), tokens.len(), width);
        let length = out.len();
        self.launch_elements(EMBEDDING, out, length, |launch| {
            let launch = launch.slice(out).slice(codebook).slice(tokens).length(width);
            Ok(launch.length(codebook.len() / width).length(length))
        })
    }

    fn force_tokens(
        &self,
        tokens: &mut Remote,
        forced: &[u32],
        positions: &[bool],
    ) -> Result<(), CudaError> {
        check_force_tokens(tokens.len(), forced.len(), positions.len());
        let length = tokens.len();
        self.launch_elements(FORCE_TOKENS, tokens, length, |launch| {
            let forced = self.send(forced)?;
            let cells: Vec<u32> = positions.iter().map(|forced| u32::from(*forced)).collect();
            let cells = self.send(&cells)?;
            let launch = launch.slice(tokens).address(forced).address(cells);
            Ok(launch.length(positions.len()).length(length))
        })
    }
}
