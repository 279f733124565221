//! feature_distance in a dry run.

use core::convert::Infallible;

use super::{Dims, FeatureDistance};
use crate::dry::Dry;
use crate::memory::{Device, Floats};

impl<B: Device, S: Floats + ?Sized + 'static> FeatureDistance for Dry<'_, B, S> {
    fn feature_distance(
        &self,
        out: &mut S,
        a: &S,
        b: &S,
        weights: &S,
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), a.len(), b.len(), weights.len());
        Ok(())
    }
}
