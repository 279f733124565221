//! conv2d in a dry run.

use core::convert::Infallible;

use super::{Conv2d, ConvEpilogue, Dims, cpu};
use crate::dry::{Dry, DryMatrix};
use crate::memory::Floats;

impl<B: Conv2d, S: Floats + ?Sized + 'static> Conv2d for Dry<'_, B, S> {
    fn conv2d_scratch(&self, d: Dims) -> usize {
        self.backend.conv2d_scratch(d)
    }

    fn conv2d(
        &self,
        out: &mut S,
        x: &S,
        weight: DryMatrix,
        bias: &S,
        epilogue: ConvEpilogue<'_, S>,
        _scratch: &mut S,
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.0, bias.len(), epilogue);
        self.wants_scratch(cpu::scratch_len(d));
        self.count(d.multiply_adds())
    }
}
