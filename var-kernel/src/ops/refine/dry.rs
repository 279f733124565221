//! refine in a dry run.

use core::convert::Infallible;

use super::{Change, Codes, Dims, Refine, Refinement};
use crate::dry::Dry;
use crate::memory::Floats;

impl<B: Refine, S: Floats + ?Sized + 'static> Refine for Dry<'_, B, S> {
    fn refine_scratch(&self, d: Dims) -> usize {
        self.backend.refine_scratch(d)
    }

    fn refine(
        &self,
        latents: &mut S,
        codes: Codes<'_, Self>,
        refinement: Refinement<'_, Self>,
        _change: Change,
        _scratch: &mut S,
        d: Dims,
    ) -> Result<(), Infallible> {
        let Refinement { weight, bias, ratio } = refinement;
        d.check(latents.len(), codes.lengths(), weight.0, bias.len());
        if ratio == 0.0 { Ok(()) } else { self.count(d.convolution().multiply_adds()) }
    }
}
