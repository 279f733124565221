//! A refinement, one operation after the other.

use super::{Change, Codes, Dims, Phi};
use crate::memory::Floats;
use crate::ops::conv2d::ConvEpilogue;
use crate::ops::{Conv2d, Elementwise, Embedding, Resize, resize};

/// Floats of scratch memory that [`quantizer_step`] wants.
pub(super) fn scratch<B: Conv2d>(b: &B, d: Dims) -> usize {
    d.cells() * d.channels + 4 * d.latents() + b.conv2d_scratch(d.convolution())
}

/// As [`QuantizerStep::quantizer_step`](super::QuantizerStep::quantizer_step).
pub(super) fn quantizer_step<B: Conv2d + Elementwise + Embedding + Resize>(
    b: &B,
    latents: &mut B::Slice,
    codes: Codes<'_, B>,
    refinement: Phi<'_, B>,
    change: Change,
    scratch: &mut B::Slice,
    d: Dims,
) -> Result<(), B::Error> {
    let Dims { batch, from, to, channels } = d;
    let (map, scratch) = scratch.split_at_mut(d.cells() * channels);
    let (enlarged, scratch) = scratch.split_at_mut(d.latents());
    let (refined, scratch) = scratch.split_at_mut(d.latents());
    let (mixed, scratch) = scratch.split_at_mut(d.latents());
    let (before, scratch) = scratch.split_at_mut(d.latents());
    let map = match codes {
        Codes::Map(map) => map,
        Codes::Tokens { codebook, tokens } => {
            b.lookup_codes(map, codebook, tokens, channels)?;
            map
        }
    };
    let enlarged = if from == to {
        map
    } else {
        b.bicubic(enlarged, map, resize::Dims { batch, from, to, channels })?;
        enlarged
    };
    let Phi { weight, bias, ratio } = refinement;
    let contribution = if ratio == 0.0 {
        enlarged
    } else {
        let d = d.convolution();
        let scratch = scratch.range_mut(0..b.conv2d_scratch(d));
        b.conv2d(refined, enlarged, weight, bias, ConvEpilogue::None, scratch, d)?;
        b.blend(mixed, (enlarged, 1.0 - ratio), (refined, ratio))?;
        mixed
    };
    let factor = match change {
        Change::Set => return b.copy(latents, contribution),
        Change::Add => 1.0,
        Change::Subtract => -1.0,
    };
    b.copy(before, latents)?;
    b.blend(latents, (before, 1.0), (contribution, factor))
}
