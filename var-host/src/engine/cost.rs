//! Memory and arithmetic of a piece of work.

use var_kernel::generate::Request;
use var_kernel::ops::Backend;
use var_kernel::storage::Storage;
use var_kernel::workspace::Cost;

use super::EngineError;
use super::runtime::Engine;

/// A piece of work.
#[derive(Clone, Copy, Debug)]
pub enum Workload<'a> {
    /// Sampling a batch, images included.
    Sample {
        /// The batch.
        request: &'a Request<'a>,
    },
    /// Images → tokens.
    Encode {
        /// How many go through the model together.
        pictures: usize,
    },
    /// Tokens → image.
    Decode,
    /// The likelihood of one image's tokens.
    Nll,
}

/// Cost of a piece of work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadCost {
    /// Floats of working memory.
    pub floats: usize,
    /// Multiply-adds of all products, by their formulas.
    pub multiply_adds: u64,
    /// Of these, when sampling, those of each scale, images excluded.
    pub scales: Vec<u64>,
}

impl Engine<'_> {
    /// Cost of `work`.
    ///
    /// # Errors
    /// If the model lacks a half that the work wants.
    // Inlined, a program links the dry runs of that work alone which it asks for.
    #[inline(always)]
    pub fn work(&self, work: Workload<'_>) -> Result<WorkloadCost, EngineError> {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = self.gpu() {
            return self.cost_on(gpu.cuda(), work);
        }
        self.cost_on(&self.cpu(), work)
    }

    #[inline(always)]
    fn cost_on<B: Backend>(&self, b: &B, work: Workload<'_>) -> Result<WorkloadCost, EngineError> {
        let (vae, heap, mut scales) = (*self.vqvae()?, &mut Storage::heap(), Vec::new());
        let tokens = |images: usize| vec![0; images * vae.ladder.length()];
        let Cost { floats, multiply_adds, .. } = match work {
            Workload::Sample { request } => {
                let (var, tokens) = (*self.transformer()?, &mut tokens(request.labels.len()));
                let each = &mut |_, multiply_adds| scales.push(multiply_adds);
                Cost::of_generate(b, var, vae, request, tokens, heap, each)
            }
            Workload::Encode { pictures } => Cost::of_encode(b, vae, &mut tokens(pictures), heap),
            Workload::Decode => Cost::of_decode(b, vae, &tokens(1), heap),
            Workload::Nll => Cost::of_score(b, *self.transformer()?, vae, &tokens(1), heap),
        };
        Ok(WorkloadCost { floats, multiply_adds, scales })
    }
}
