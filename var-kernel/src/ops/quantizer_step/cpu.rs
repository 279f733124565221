//! refine on the CPU: one operation after the other.

use core::convert::Infallible;

use super::{Change, Codes, Dims, Phi, QuantizerStep, composed};
use crate::cpu::Cpu;

impl QuantizerStep for Cpu<'_> {
    fn quantizer_step_scratch(&self, d: Dims) -> usize {
        composed::scratch(self, d)
    }

    fn quantizer_step(
        &self,
        latents: &mut [f32],
        codes: Codes<'_, Self>,
        refinement: Phi<'_, Self>,
        change: Change,
        scratch: &mut [f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        let Phi { weight, bias, .. } = &refinement;
        d.check(latents.len(), codes.lengths(), weight.len(), bias.len());
        composed::quantizer_step(self, latents, codes, refinement, change, scratch, d)
    }
}
