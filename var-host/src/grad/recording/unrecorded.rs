//! Operations without a gradient: choices of tokens, and the quantizer's fused step.

use var_kernel::memory::Device;
use var_kernel::ops::draw::{self, Draw, Mixture, Settings};
use var_kernel::ops::nearest_code::{self, Distance, NearestCode};
use var_kernel::ops::refine::{self, Change, Codes, Refine, Refinement};

use super::Recording;
use crate::grad::backend::Recordable;

impl<B: Recordable> Draw for Recording<'_, B> {
    fn draw(
        &self,
        tokens: &mut B::Tokens,
        mixture: Option<Mixture<'_, B::Slice>>,
        logits: &B::Slice,
        unconditional: Option<&B::Slice>,
        settings: &Settings<'_>,
        d: draw::Dims,
    ) -> Result<(), B::Error> {
        self.backend.draw(tokens, mixture, logits, unconditional, settings, d)
    }
}

impl<B: Recordable> NearestCode for Recording<'_, B> {
    fn nearest_code(
        &self,
        tokens: &mut B::Tokens,
        x: &B::Slice,
        codebook: &B::Slice,
        distance: Distance,
        d: nearest_code::Dims,
    ) -> Result<(), B::Error> {
        self.backend.nearest_code(tokens, x, codebook, distance, d)
    }
}

/// The quantizer's fused step changes latents in place, which no tape can undo; for gradients, use its
/// parts: [`Quantizer::contribution`](var_kernel::model::Quantizer::contribution).
impl<B: Recordable> Refine for Recording<'_, B> {
    fn refine_scratch(&self, d: refine::Dims) -> usize {
        self.backend.refine_scratch(d)
    }

    /// # Panics
    /// Always.
    fn refine(
        &self,
        _: &mut B::Slice,
        _: Codes<'_, Self>,
        _: Refinement<'_, Self>,
        _: Change,
        _: &mut B::Slice,
        _: refine::Dims,
    ) -> Result<(), <B as Device>::Error> {
        panic!("refine: it is not recorded; its parts are")
    }
}
