//! linear in a dry run.

use core::convert::Infallible;

use super::{Dims, Epilogue, Linear, cpu};
use crate::dry::{Dry, DryMatrix};
use crate::memory::{Device, Floats};

impl<B: Device, S: Floats + ?Sized + 'static> Linear for Dry<'_, B, S> {
    fn linear(
        &self,
        out: &mut S,
        x: &S,
        weight: DryMatrix,
        bias: Option<&S>,
        _epilogue: Epilogue<'_, S>,
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.0, bias.map(S::len));
        self.wants_scratch(cpu::scratch_len(d));
        self.count(d.multiply_adds())
    }
}
