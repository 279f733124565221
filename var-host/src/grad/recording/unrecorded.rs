//! Operations without a gradient: choices of tokens, and the quantizer's fused step.

use var_kernel::memory::Device;
use var_kernel::ops::nearest_code::{self, Distance, NearestCode};
use var_kernel::ops::quantizer_step::{self, Change, Codes, Phi, QuantizerStep};
use var_kernel::ops::sample_tokens::{self, Mixture, SampleSettings, SampleTokens};

use super::Recording;
use crate::grad::backend::Recordable;

impl<B: Recordable> SampleTokens for Recording<'_, B> {
    fn sample_tokens(
        &self,
        tokens: &mut B::Tokens,
        mixture: Option<Mixture<'_, B::Slice>>,
        logits: &B::Slice,
        unconditional: Option<&B::Slice>,
        settings: &SampleSettings<'_>,
        d: sample_tokens::Dims,
    ) -> Result<(), B::Error> {
        self.backend.sample_tokens(tokens, mixture, logits, unconditional, settings, d)
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
impl<B: Recordable> QuantizerStep for Recording<'_, B> {
    fn quantizer_step_scratch(&self, d: quantizer_step::Dims) -> usize {
        self.backend.quantizer_step_scratch(d)
    }

    /// # Panics
    /// Always.
    fn quantizer_step(
        &self,
        _: &mut B::Slice,
        _: Codes<'_, Self>,
        _: Phi<'_, Self>,
        _: Change,
        _: &mut B::Slice,
        _: quantizer_step::Dims,
    ) -> Result<(), <B as Device>::Error> {
        panic!("refine: it is not recorded; its parts are")
    }
}
