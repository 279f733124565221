//! refine on a GPU: one kernel, a block for each row of a latent.

use super::{Change, Codes, Dims, Phi, QuantizerStep, composed};
use crate::cuda::command::Launch;
use crate::cuda::kernel_source::{CUBIC, Kernel, KernelSource};
use crate::cuda::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;

pub(crate) static SOURCE: KernelSource =
    KernelSource::new("refine", include_str!("kernel.cu")).with(&[CUBIC]);

const REFINE: Kernel = Kernel::new(&SOURCE, "refine");

/// Neighboring cells that a thread makes.
const CELLS: usize = 2;

/// Bytes of shared memory that the text declares, rounded up.
const DECLARED: usize = 256;

/// Bytes of dynamic shared memory of a block: three rows of enlarged codes with a border, and of each of their
/// columns four cells and weights.
fn shared(d: Dims) -> usize {
    let columns = d.to.next_multiple_of(CELLS) + 2;
    4 * (3 * columns * d.channels + 8 * d.to)
}

impl Cuda {
    /// Whether a block's rows fit its shared memory.
    fn refines_at_once(&self, d: Dims) -> bool {
        shared(d) + DECLARED <= self.properties().shared as usize
    }
}

impl QuantizerStep for Cuda {
    fn quantizer_step_scratch(&self, d: Dims) -> usize {
        if self.refines_at_once(d) { 0 } else { composed::scratch(self, d) }
    }

    fn quantizer_step(
        &self,
        latents: &mut Remote,
        codes: Codes<'_, Self>,
        refinement: Phi<'_, Self>,
        change: Change,
        scratch: &mut Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        let Phi { weight, bias, ratio } = &refinement;
        d.check(latents.len(), codes.lengths(), weight.len(), bias.len());
        if latents.is_empty() {
            return Ok(());
        }
        if !self.refines_at_once(d) {
            return composed::quantizer_step(self, latents, codes, refinement, change, scratch, d);
        }
        self.fresh_scratch();
        let (from, has) = (weight.numbers.address(), weight.dtype);
        let weight = self.operand_as(from, weight.len(), has, Dtype::F32)?;
        let bias = self.operand_f32(bias, bias.len())?;
        let (numbers, tokens, entries) = match codes {
            Codes::Map(map) => (self.operand_f32(map, map.len())?, 0, 0),
            Codes::Tokens { codebook, tokens } => {
                let entries = codebook.len() / d.channels;
                (self.operand_f32(codebook, codebook.len())?, tokens.address(), entries)
            }
        };
        let change = match change {
            Change::Set => 0,
            Change::Add => 1,
            Change::Subtract => 2,
        };
        let launch = Launch::new(REFINE, [d.batch * d.to, 1, 1], 256).sharing(shared(d));
        let launch = launch.slice(latents).address(numbers).address(tokens).size(entries);
        let launch = launch.address(weight).address(bias).float(*ratio).size(change);
        let launch = launch.size(d.from).size(d.to).size(d.channels);
        self.launch(launch, [(latents, Dtype::F32)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::driver::recording::recorded;
    use crate::cuda::{CudaMatrix, Precision};

    /// The kernels of a step at these sizes.
    fn launched(d: Dims) -> std::vec::Vec<&'static str> {
        let (cuda, gpu) = recorded(Precision::F16, 1 << 30);
        let memory = |words: usize| cuda.memory(words.max(1)).unwrap();
        let (mut latents, map) = (memory(d.latents()), memory(d.cells() * d.channels));
        let (weight, bias) = (memory(9 * d.channels * d.channels), memory(d.channels));
        let mut scratch = memory(cuda.quantizer_step_scratch(d));
        let weight = CudaMatrix::new(&weight, Dtype::F32, weight.len());
        let refinement = Phi { weight, bias: &*bias, ratio: 0.5 };
        gpu.launched();
        cuda.quantizer_step(
            &mut latents,
            Codes::Map(&*map),
            refinement,
            Change::Add,
            &mut scratch,
            d,
        )
        .unwrap();
        gpu.launched()
    }

    #[test]
    fn step_is_one_kernel_where_its_rows_fit_a_block() {
        let d = Dims { batch: 8, from: 24, to: 32, channels: 32 };
        assert_eq!(launched(d), ["refine"]);
        let large = Dims { batch: 1, from: 24, to: 64, channels: 256 };
        assert_eq!(launched(large), ["bicubic", "conv2d_128x64", "blend", "blend"]);
    }
}
