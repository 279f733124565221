//! group_norm in a dry run.

use core::convert::Infallible;

use super::{Activation, Dims, GroupNorm, cpu};
use crate::dry::Dry;
use crate::memory::{Device, Floats};

impl<B: Device, S: Floats + ?Sized + 'static> GroupNorm for Dry<'_, B, S> {
    fn group_norm(
        &self,
        out: &mut S,
        x: &S,
        weight: &S,
        bias: &S,
        _eps: f32,
        _activation: Activation,
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.len(), bias.len());
        self.wants_scratch(cpu::scratch_len(d));
        Ok(())
    }
}
