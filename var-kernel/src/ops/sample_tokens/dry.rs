//! sample_tokens in a dry run.

use core::convert::Infallible;

use super::{Dims, Mixture, SampleSettings, SampleTokens, cpu};
use crate::dry::Dry;
use crate::memory::{Device, Floats};

impl<B: Device, S: Floats + ?Sized + 'static> SampleTokens for Dry<'_, B, S> {
    fn sample_tokens(
        &self,
        tokens: &mut S,
        mixture: Option<Mixture<'_, S>>,
        logits: &S,
        unconditional: Option<&S>,
        _settings: &SampleSettings<'_>,
        d: Dims,
    ) -> Result<(), Infallible> {
        let lengths = mixture.as_ref().map(|mixture| [mixture.out.len(), mixture.codebook.len()]);
        d.check(tokens.len(), lengths, logits.len(), unconditional.map(S::len));
        self.wants_scratch(cpu::scratch_len(d));
        Ok(())
    }
}
