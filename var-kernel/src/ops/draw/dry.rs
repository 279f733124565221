//! draw in a dry run.

use core::convert::Infallible;

use super::{Dims, Draw, Mixture, Settings};
use crate::dry::Dry;
use crate::memory::{Device, Floats};

impl<B: Device, S: Floats + ?Sized + 'static> Draw for Dry<'_, B, S> {
    fn draw(
        &self,
        tokens: &mut S,
        mixture: Option<Mixture<'_, S>>,
        logits: &S,
        unconditional: Option<&S>,
        _settings: &Settings<'_>,
        d: Dims,
    ) -> Result<(), Infallible> {
        let lengths = mixture.as_ref().map(|mixture| [mixture.out.len(), mixture.codebook.len()]);
        d.check(tokens.len(), lengths, logits.len(), unconditional.map(S::len));
        Ok(())
    }
}
