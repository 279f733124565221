//! Logits → tokens: guidance, filter and draw for every cell of a token map.

pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
mod tests;

use crate::cpu::SCRATCH_FLOATS;
use crate::memory::Device;
use crate::sample::{Filter, UniformSource};

/// The largest codebook: two rows of its logits fill one thread's scratch memory.
pub const MAX_CODES: usize = SCRATCH_FLOATS / 2;

/// Token of a cell with a logit that is infinite or not a number.
pub const NO_TOKEN: u32 = u32::MAX;

/// Sizes of a [`SampleTokens::sample_tokens`].
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Images.
    pub images: usize,
    /// Cells of the token map.
    pub positions: usize,
    /// Rows of the codebook.
    pub codes: usize,
}

/// How tokens are drawn from logits at one scale.
#[derive(Clone, Copy, Debug)]
pub struct SampleSettings<'a> {
    /// Guidance: `logits = (1 + guidance)·conditional − guidance·unconditional`.
    pub guidance: f32,
    /// Divides the logits after guidance; 1 = as they are, and above 0.
    pub temperature: f32,
    /// Which tokens may be drawn.
    pub filter: Filter,
    /// Where the random numbers come from.
    pub source: UniformSource<'a>,
    /// The scale's index.
    pub scale: usize,
    /// Each image's own index in the request: its random numbers depend on that, not on the batch.
    pub indices: &'a [u32],
}

/// Gumbel-softmax mixtures of codes (`more_smooth`), in place of the drawn codes.
pub struct Mixture<'a, S: ?Sized> {
    /// `images × positions × width`, to write.
    pub out: &'a mut S,
    /// `codes × width`.
    pub codebook: &'a S,
    /// How far along the ladder the scale is, 0 to 1.
    pub ratio: f64,
}

/// Drawing tokens.
pub trait SampleTokens: Device {
    /// Draws one token for each cell; [`NO_TOKEN`] where a logit, after guidance, is infinite or not a
    /// number.
    ///
    /// `logits`: `images × positions × codes`. `unconditional`: likewise, where there is
    /// guidance. `tokens`: `images × positions`. With a `mixture`, each cell also gets
    /// `softmax((logits·(1 + ratio) + g)/τ) · codebook` over the filtered logits
    /// ([`crate::sample::gumbel`]); with [`UniformSource::Greedy`] or [`UniformSource::Given`] g is 0.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, or there are more codes than [`MAX_CODES`].
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn sample_tokens(
        &self,
        tokens: &mut Self::Tokens,
        mixture: Option<Mixture<'_, Self::Slice>>,
        logits: &Self::Slice,
        unconditional: Option<&Self::Slice>,
        settings: &SampleSettings<'_>,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl Dims {
    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check(
        self,
        tokens: usize,
        mixture: Option<[usize; 2]>,
        logits: usize,
        unconditional: Option<usize>,
    ) {
        let rows = self.images * self.positions;
        assert!(
            self.codes <= MAX_CODES,
            "sample_tokens: {} codes, at most {MAX_CODES}",
            self.codes
        );
        assert_eq!(tokens, rows, "sample_tokens: tokens is not images × positions");
        assert_eq!(
            logits,
            rows * self.codes,
            "sample_tokens: logits is not images × positions × codes"
        );
        assert_eq!(
            unconditional.unwrap_or(logits),
            logits,
            "sample_tokens: two sets of logits differ"
        );
        if let Some([out, codebook]) = mixture {
            assert_eq!(codebook % self.codes, 0, "sample_tokens: the codebook is not whole codes");
            assert_eq!(
                out,
                rows * (codebook / self.codes),
                "sample_tokens: the mixture is not rows × width"
            );
        }
    }
}
