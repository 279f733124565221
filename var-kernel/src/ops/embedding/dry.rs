//! Embedding in a dry run.

use core::convert::Infallible;

use super::{Embedding, check_embedding, check_force_tokens, check_lookup_codes};
use crate::dry::Dry;
use crate::memory::{Device, Floats};

impl<B: Device, S: Floats + ?Sized + 'static> Embedding for Dry<'_, B, S> {
    fn embedding(
        &self,
        out: &mut S,
        table: &S,
        indices: &[u32],
        width: usize,
    ) -> Result<(), Infallible> {
        check_embedding(out.len(), table.len(), indices, width);
        Ok(())
    }

    fn lookup_codes(
        &self,
        out: &mut S,
        codebook: &S,
        tokens: &S,
        width: usize,
    ) -> Result<(), Infallible> {
        check_lookup_codes(out.len(), codebook.len(), tokens.len(), width);
        Ok(())
    }

    fn force_tokens(
        &self,
        tokens: &mut S,
        forced: &[u32],
        positions: &[bool],
    ) -> Result<(), Infallible> {
        check_force_tokens(tokens.len(), forced.len(), positions.len());
        Ok(())
    }
}
