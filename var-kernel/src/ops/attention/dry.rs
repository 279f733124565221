//! attention in a dry run.

use core::convert::Infallible;

use super::{Attention, Dims, Mask, cpu};
use crate::dry::Dry;
use crate::memory::Floats;

impl<B: Attention, S: Floats + ?Sized + 'static> Attention for Dry<'_, B, S> {
    fn kv_len(&self, values: usize) -> usize {
        self.backend.kv_len(values)
    }

    fn attention(
        &self,
        out: &mut S,
        q: &S,
        k: &S,
        v: &S,
        _scale: f32,
        mask: Mask<'_>,
        d: Dims,
    ) -> Result<(), Infallible> {
        let numbers = d.batch * d.capacity * d.heads * d.head_width;
        let [k, v] = [k, v].map(|kept| self.kv_values(kept.len(), numbers));
        d.check(out.len(), q.len(), k, v, mask);
        self.wants_scratch(cpu::scratch_len(d));
        self.count(d.multiply_adds())
    }
}
