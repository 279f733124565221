//! Drawing tokens on a GPU: one block a cell.

use std::vec::Vec;

use super::{Dims, Mixture, SampleSettings, SampleTokens};
use crate::cuda::command::Launch;
use crate::cuda::kernel_source::{Kernel, KernelSource};
use crate::cuda::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;
use crate::sample::{UniformSource, gumbel, temperature};

pub(crate) static SOURCE: KernelSource = KernelSource::new("draw", include_str!("kernel.cu"));

const DRAW: Kernel = Kernel::new(&SOURCE, "draw");

const THREADS: u32 = 256;

/// Most codes with logits in a block's shared memory (64 KiB): four such blocks fit a multiprocessor.
const MAX_SHARED: usize = 1 << 14;

impl SampleTokens for Cuda {
    fn sample_tokens(
        &self,
        tokens: &mut Remote,
        mixture: Option<Mixture<'_, Remote>>,
        logits: &Remote,
        unconditional: Option<&Remote>,
        settings: &SampleSettings<'_>,
        d: Dims,
    ) -> Result<(), CudaError> {
        let lengths = mixture.as_ref().map(|mixture| [mixture.out.len(), mixture.codebook.len()]);
        d.check(tokens.len(), lengths, logits.len(), unconditional.map(Floats::len));
        temperature::check(settings.temperature);
        let cells = d.images * d.positions;
        assert_eq!(settings.indices.len(), d.images, "sample_tokens: one index for each image");
        if cells == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let (source, seed, numbers) = match settings.source {
            UniformSource::Greedy => (0, 0, None),
            UniformSource::Seed(seed) => (1, seed, None),
            UniformSource::Given(numbers) => {
                assert_eq!(numbers.len(), cells, "sample_tokens: one number for each cell");
                (2, 0, Some(numbers))
            }
        };
        let seed = [seed as u32, (seed >> 32) as u32];
        let parameters: Vec<u32> =
            seed.into_iter().chain(settings.indices.iter().copied()).collect();
        let parameters = self.send(&parameters)?;
        let numbers = match numbers {
            None => 0,
            Some(numbers) => self.send(&numbers.iter().map(|u| u.to_bits()).collect::<Vec<_>>())?,
        };
        let (work, shared) = if d.codes <= MAX_SHARED {
            (0, size_of::<f32>() * d.codes)
        } else {
            (self.scratch(cells * d.codes)?, 0)
        };
        let ratio = mixture.as_ref().map_or(0.0, |mixture| mixture.ratio);
        let (sharper, tau) = (gumbel::sharpness(ratio), gumbel::temperature(ratio));
        let out = mixture.as_ref().map(|mixture| &*mixture.out);
        let codebook = mixture.as_ref().map(|mixture| mixture.codebook);
        let width = codebook.map_or(0, |codebook| codebook.len() / d.codes);

        let launch = Launch::new(DRAW, [cells, 1, 1], THREADS).sharing(shared);
        let launch =
            launch.slice(tokens).slice_or_null(out).slice(logits).slice_or_null(unconditional);
        let launch =
            launch.address(parameters).address(numbers).slice_or_null(codebook).address(work);
        let launch =
            launch.float(settings.guidance).float(settings.temperature).size(settings.filter.top_k);
        let launch = launch.float(settings.filter.top_p).size(source).size(settings.scale);
        let launch = launch.size(d.positions).size(d.codes).size(width).float(sharper);
        let launch = launch.float(tau);
        match out {
            None => self.launch(launch, [(tokens, Dtype::F32)]),
            Some(out) => self.launch(launch, [(tokens, Dtype::F32), (out, Dtype::F32)]),
        }
    }
}
