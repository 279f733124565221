//! Embedding on the CPU.

use core::convert::Infallible;

use super::{Embedding, check_embedding, check_force_tokens, check_lookup_codes};
use crate::cpu::Cpu;

impl Embedding for Cpu<'_> {
    fn embedding(
        &self,
        out: &mut [f32],
        table: &[f32],
        indices: &[u32],
        width: usize,
    ) -> Result<(), Infallible> {
        check_embedding(out.len(), table.len(), indices, width);
        self.begin("embedding", 0, 8 * out.len());
        for (row, index) in out.chunks_exact_mut(width).zip(indices) {
            row.copy_from_slice(&table[*index as usize * width..][..width]);
        }
        Ok(())
    }

    fn lookup_codes(
        &self,
        out: &mut [f32],
        codebook: &[f32],
        tokens: &[u32],
        width: usize,
    ) -> Result<(), Infallible> {
        check_lookup_codes(out.len(), codebook.len(), tokens.len(), width);
        self.begin("lookup_codes", 0, 8 * out.len());
        for (row, token) in out.chunks_exact_mut(width).zip(tokens) {
            match codebook.chunks_exact(width).nth(*token as usize) {
                Some(code) => row.copy_from_slice(code),
                None => row.fill(f32::NAN),
            }
        }
        Ok(())
    }

    fn force_tokens(
        &self,
        tokens: &mut [u32],
        forced: &[u32],
        positions: &[bool],
    ) -> Result<(), Infallible> {
        check_force_tokens(tokens.len(), forced.len(), positions.len());
        for (cell, (token, forced)) in tokens.iter_mut().zip(forced).enumerate() {
            if positions[cell % positions.len()] {
                *token = *forced;
            }
        }
        Ok(())
    }
}
