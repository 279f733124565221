//! refine on the CPU: one operation after the other.

use core::convert::Infallible;

use super::{Change, Codes, Dims, Refine, Refinement, composed};
use crate::cpu::Cpu;

impl Refine for Cpu<'_> {
    fn refine_scratch(&self, d: Dims) -> usize {
        composed::scratch(self, d)
    }

    fn refine(
        &self,
        latents: &mut [f32],
        codes: Codes<'_, Self>,
        refinement: Refinement<'_, Self>,
        change: Change,
        scratch: &mut [f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        let Refinement { weight, bias, .. } = &refinement;
        d.check(latents.len(), codes.lengths(), weight.len(), bias.len());
        composed::refine(self, latents, codes, refinement, change, scratch, d)
    }
}
