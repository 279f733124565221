//! quantizer_step in a dry run.

use core::convert::Infallible;

use super::{Change, Codes, Dims, Phi, QuantizerStep};
use crate::dry::Dry;
use crate::memory::Floats;
use crate::ops::conv2d::cpu::scratch_len;

impl<B: QuantizerStep, S: Floats + ?Sized + 'static> QuantizerStep for Dry<'_, B, S> {
    fn quantizer_step_scratch(&self, d: Dims) -> usize {
        self.backend.quantizer_step_scratch(d)
    }

    fn quantizer_step(
        &self,
        latents: &mut S,
        codes: Codes<'_, Self>,
        refinement: Phi<'_, Self>,
        _change: Change,
        _scratch: &mut S,
        d: Dims,
    ) -> Result<(), Infallible> {
        let Phi { weight, bias, ratio } = refinement;
        d.check(latents.len(), codes.lengths(), weight.0, bias.len());
        if ratio == 0.0 {
            return Ok(());
        }
        self.wants_scratch(scratch_len(d.convolution()));
        self.count(d.convolution().multiply_adds())
    }
}
