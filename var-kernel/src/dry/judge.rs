//! What the networks that judge pictures want beside a model's operations, run dry.

use core::convert::Infallible;

use super::Dry;
use crate::ops::JudgeBackend;
use crate::ops::feature_distance::{self, FeatureDistance};
use crate::ops::leaky_relu::LeakyRelu;
use crate::ops::max_pool::{self, MaxPool};

impl<B: JudgeBackend> FeatureDistance for Dry<'_, B> {
    fn feature_distance(
        &self,
        out: &mut [()],
        a: &[()],
        b: &[()],
        weights: &[()],
        d: feature_distance::Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), a.len(), b.len(), weights.len());
        Ok(())
    }
}

impl<B: JudgeBackend> LeakyRelu for Dry<'_, B> {
    fn leaky_relu(&self, out: &mut [()], x: &[()], _slope: f32) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "leaky_relu: lengths differ");
        Ok(())
    }
}

impl<B: JudgeBackend> MaxPool for Dry<'_, B> {
    fn max_pool(&self, out: &mut [()], x: &[()], d: max_pool::Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }
}
