//! nearest_code in a dry run.

use core::convert::Infallible;

use super::{Dims, Distance, NearestCode, cpu};
use crate::dry::Dry;
use crate::memory::{Device, Floats};

impl<B: Device, S: Floats + ?Sized + 'static> NearestCode for Dry<'_, B, S> {
    fn nearest_code(
        &self,
        tokens: &mut S,
        x: &S,
        codebook: &S,
        _distance: Distance,
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(tokens.len(), x.len(), codebook.len());
        self.wants_scratch(cpu::scratch_len(d));
        self.count(d.multiply_adds())
    }
}
