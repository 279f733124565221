//! Group normalization.

use crate::memory::{Device, Floats};
use crate::model::config::VqvaeConfig;
use crate::model::weights::{FeatureShape, Source};
use crate::ops::Backend;
use crate::ops::group_norm::{self, Activation};

/// GroupNorm's epsilon.
pub(crate) const EPS: f32 = 1e-6;

/// A group normalization's weights.
pub(crate) struct Norm<'a, B: Device> {
    weight: &'a B::Slice,
    bias: &'a B::Slice,
}

impl<'a, B: Device> Norm<'a, B> {
    /// `name.weight` and `name.bias` of `channels`.
    pub(crate) fn bind<W: Source<'a, B>>(
        source: &mut W,
        name: core::fmt::Arguments<'_>,
        channels: usize,
    ) -> Result<Self, W::Error> {
        let weight = source.vector(format_args!("{name}.weight"), &[channels])?;
        let bias = source.vector(format_args!("{name}.bias"), &[channels])?;
        Ok(Self { weight, bias })
    }
}

impl<B: Backend> Norm<'_, B> {
    /// `out = activation(group_norm(x))`
    pub(crate) fn forward(
        &self,
        b: &B,
        out: &mut B::Slice,
        x: &B::Slice,
        activation: Activation,
        maps: FeatureShape,
    ) -> Result<(), B::Error> {
        let d = group_norm::Dims {
            batch: maps.batch,
            positions: maps.height * maps.width,
            channels: self.weight.len(),
            groups: VqvaeConfig::GROUPS,
        };
        b.group_norm(out, x, self.weight, self.bias, EPS, activation, d)
    }
}
