//! Element-wise operations in a dry run.

use core::convert::Infallible;

use super::{Elementwise, PlaceDims, Unary, check_gated, check_map, check_scale_rows, check_table};
use crate::dry::Dry;
use crate::memory::{Device, Floats};
use crate::ops::PerRow;

impl<B: Device, S: Floats + ?Sized + 'static> Elementwise for Dry<'_, B, S> {
    fn blend(&self, out: &mut S, a: (&S, f32), b: (&S, f32)) -> Result<(), Infallible> {
        assert_eq!([a.0.len(), b.0.len()], [out.len(); 2], "blend: lengths differ");
        Ok(())
    }

    fn add_table(&self, out: &mut S, x: &S, table: &S) -> Result<(), Infallible> {
        check_table(out.len(), x.len(), table.len());
        Ok(())
    }

    fn map(&self, out: &mut S, x: &S, f: Unary) -> Result<(), Infallible> {
        check_map(out.len(), x.len(), f);
        Ok(())
    }

    fn gated(
        &self,
        out: &mut S,
        residual: &S,
        x: &S,
        gate: PerRow<'_, S>,
        width: usize,
    ) -> Result<(), Infallible> {
        check_gated(out.len(), residual.len(), x.len(), gate, width);
        Ok(())
    }

    fn scale_rows(&self, out: &mut S, x: &S, factors: &S) -> Result<(), Infallible> {
        check_scale_rows(out.len(), x.len(), factors.len());
        Ok(())
    }

    fn place_rows(&self, out: &mut S, x: &S, d: PlaceDims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }

    fn copy(&self, out: &mut S, x: &S) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "copy: lengths differ");
        Ok(())
    }
}
