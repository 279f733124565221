//! A residual block: twice normalize, SiLU and convolve; then add the input.

use core::fmt;

use super::norm::Norm;
use crate::arena::Arena;
use crate::memory::{Device, Floats};
use crate::model::weights::{Convolution, FeatureShape, Source};
use crate::ops::Backend;
use crate::ops::conv2d::Grid;
use crate::ops::group_norm::Activation;

/// A residual block's weights.
pub struct ResBlock<'a, B: Device> {
    norm_1: Norm<'a, B>,
    conv_1: Convolution<'a, B>,
    norm_2: Norm<'a, B>,
    conv_2: Convolution<'a, B>,
    /// 1×1, where the number of channels changes.
    shortcut: Option<Convolution<'a, B>>,
}

impl<'a, B: Device> ResBlock<'a, B> {
    pub(super) fn bind<W: Source<'a, B>>(
        source: &mut W,
        name: fmt::Arguments<'_>,
        inner: usize,
        outer: usize,
    ) -> Result<Self, W::Error> {
        let shortcut = if inner == outer {
            None
        } else {
            Some(Convolution::bind(source, format_args!("{name}.nin_shortcut"), outer, inner, 1)?)
        };
        Ok(Self {
            norm_1: Norm::bind(source, format_args!("{name}.norm1"), inner)?,
            conv_1: Convolution::bind(source, format_args!("{name}.conv1"), outer, inner, 3)?,
            norm_2: Norm::bind(source, format_args!("{name}.norm2"), outer)?,
            conv_2: Convolution::bind(source, format_args!("{name}.conv2"), outer, outer, 3)?,
            shortcut,
        })
    }

    /// Channels that come out.
    pub(super) fn outer(&self) -> usize {
        self.conv_2.outer()
    }
}

impl<B: Backend> ResBlock<'_, B> {
    /// `out = conv₂(silu(norm₂(conv₁(silu(norm₁(x)))))) + shortcut(x)`
    pub(super) fn forward(
        &self,
        b: &B,
        out: &mut B::Slice,
        x: &B::Slice,
        maps: FeatureShape,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let mut arena = arena.scope();
        let hidden = arena.take(out.len());
        {
            let mut arena = arena.scope();
            let normal = arena.take(x.len());
            self.norm_1.forward(b, normal, x, Activation::Silu, maps)?;
            self.conv_1.forward(b, hidden, normal, None, Grid::Same, maps, &mut arena)?;
        }
        let normal = arena.take(out.len());
        self.norm_2.forward(b, normal, hidden, Activation::Silu, maps)?;
        let residual = match &self.shortcut {
            None => x,
            Some(shortcut) => {
                // `hidden` has served: the shortcut takes its place.
                let short = arena.instead_of(hidden, out.len());
                shortcut.forward(b, short, x, None, Grid::Same, maps, &mut arena)?;
                short
            }
        };
        self.conv_2.forward(b, out, normal, Some(residual), Grid::Same, maps, &mut arena)
    }
}
