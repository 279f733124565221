//! Attention of every cell of a map over all others, one head as wide as the channels.

use core::fmt;

use super::norm::Norm;
use crate::arena::Arena;
use crate::memory::{Device, Floats};
use crate::model::weights::{Convolution, FeatureShape, Source};
use crate::ops::Backend;
use crate::ops::attention::{self, Mask};
use crate::ops::conv2d::Grid;
use crate::ops::group_norm::Activation;
use crate::ops::split_qkv::{self, Normalization};

/// A spatial attention's weights.
pub struct SpatialAttention<'a, B: Device> {
    norm: Norm<'a, B>,
    qkv: Convolution<'a, B>,
    projection: Convolution<'a, B>,
    channels: usize,
}

impl<'a, B: Device> SpatialAttention<'a, B> {
    pub(super) fn bind<W: Source<'a, B>>(
        source: &mut W,
        name: fmt::Arguments<'_>,
        channels: usize,
    ) -> Result<Self, W::Error> {
        let projection = format_args!("{name}.proj_out");
        Ok(Self {
            norm: Norm::bind(source, format_args!("{name}.norm"), channels)?,
            qkv: Convolution::bind(source, format_args!("{name}.qkv"), 3 * channels, channels, 1)?,
            projection: Convolution::bind(source, projection, channels, channels, 1)?,
            channels,
        })
    }
}

impl<B: Backend> SpatialAttention<'_, B> {
    /// `out = x + proj(attention(qkv(norm(x))))`, scores divided by √channels.
    pub(super) fn forward(
        &self,
        b: &B,
        out: &mut B::Slice,
        x: &B::Slice,
        maps: FeatureShape,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let (batch, rows, head_width) = (maps.batch, maps.height * maps.width, self.channels);
        let mut arena = arena.scope();
        let normal = arena.take(x.len());
        self.norm.forward(b, normal, x, Activation::None, maps)?;
        let qkv = arena.take(3 * x.len());
        self.qkv.forward(b, qkv, normal, None, Grid::Same, maps, &mut arena)?;
        let (q, k, v) = (arena.take(x.len()), arena.take(x.len()), arena.take(x.len()));
        let size = split_qkv::Dims { batch, rows, heads: 1, head_width, start: 0, capacity: rows };
        b.split_qkv(q, k, v, qkv, None, Normalization::None, size)?;
        // `normal` has served: the average of the values takes its place.
        let (queries, keys, capacity) = (rows, rows, rows);
        let size = attention::Dims { batch, heads: 1, head_width, queries, keys, capacity };
        let scale = 1.0 / libm::sqrtf(self.channels as f32);
        let average = arena.instead_of(normal, x.len());
        b.attention(average, q, k, v, scale, Mask::None, size)?;
        self.projection.forward(b, out, average, Some(x), Grid::Same, maps, &mut arena)
    }
}
