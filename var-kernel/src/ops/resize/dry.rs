//! resize in a dry run.

use core::convert::Infallible;

use super::{Dims, Resize};
use crate::dry::Dry;
use crate::memory::{Device, Floats};

impl<B: Device, S: Floats + ?Sized + 'static> Resize for Dry<'_, B, S> {
    fn bicubic(&self, out: &mut S, x: &S, d: Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }

    fn area(&self, out: &mut S, x: &S, d: Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }
}
