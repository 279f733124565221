//! Dry runs of the operations of LPIPS and the discriminator.

use core::convert::Infallible;

use super::Dry;
use crate::memory::Floats;
use crate::ops::JudgeBackend;
use crate::ops::feature_distance::{self, FeatureDistance};
use crate::ops::leaky_relu::LeakyRelu;
use crate::ops::max_pool::{self, MaxPool};

impl<B: JudgeBackend, S: Floats + ?Sized + 'static> FeatureDistance for Dry<'_, B, S> {
    fn feature_distance(
        &self,
        out: &mut S,
        a: &S,
        b: &S,
        weights: &S,
        d: feature_distance::Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), a.len(), b.len(), weights.len());
        Ok(())
    }
}

impl<B: JudgeBackend, S: Floats + ?Sized + 'static> LeakyRelu for Dry<'_, B, S> {
    fn leaky_relu(&self, out: &mut S, x: &S, _slope: f32) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "leaky_relu: lengths differ");
        Ok(())
    }
}

impl<B: JudgeBackend, S: Floats + ?Sized + 'static> MaxPool for Dry<'_, B, S> {
    fn max_pool(&self, out: &mut S, x: &S, d: max_pool::Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }
}
