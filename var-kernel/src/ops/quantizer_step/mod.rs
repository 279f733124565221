//! A scale's contribution to the latent: its code map enlarged, then refined by a convolution φ (paper,
//! algorithms 1 and 2).

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
mod tests;

use crate::memory::{Device, Floats};
use crate::ops::conv2d::{self, Grid};

/// Sizes of a [`QuantizerStep::quantizer_step`].
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Latents.
    pub batch: usize,
    /// Side of the code map.
    pub from: usize,
    /// Side of the latent.
    pub to: usize,
    /// Channels of a cell.
    pub channels: usize,
}

/// Where a code map is.
pub enum Codes<'a, B: Device + ?Sized> {
    /// `batch × from × from × channels` numbers.
    Map(&'a B::Slice),
    /// Rows of a codebook.
    Tokens {
        /// Whole rows of `channels`.
        codebook: &'a B::Slice,
        /// `batch × from × from` of them.
        tokens: &'a B::Tokens,
    },
}

impl<B: Device + ?Sized> Codes<'_, B> {
    pub(crate) fn lengths(&self) -> CodesLengths {
        match self {
            Self::Map(map) => CodesLengths::Map(map.len()),
            Self::Tokens { codebook, tokens } => {
                CodesLengths::Tokens { codebook: codebook.len(), tokens: tokens.len() }
            }
        }
    }
}

/// φ, and how much of it.
pub struct Phi<'a, B: Device + ?Sized> {
    /// `channels × channels × 3 × 3`
    pub weight: B::Matrix<'a>,
    /// `channels`
    pub bias: &'a B::Slice,
    /// 0 to 1; with 0 codes are enlarged only.
    pub ratio: f32,
}

/// Use of a contribution: stored, added or subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It replaces the latent.
    Set,
    /// It is added to the latent.
    Add,
    /// It is taken from the latent.
    Subtract,
}

/// One scale's step of the quantizer.
pub trait QuantizerStep: Device {
    /// Floats of scratch memory that [`QuantizerStep::quantizer_step`] wants for `d`.
    fn quantizer_step_scratch(&self, d: Dims) -> usize;

    /// Stores, adds or subtracts a scale's contribution to latents.
    ///
    /// `latents (=, +=, −=) (1 − ratio) · e + ratio · (φ ∗ e + bias)`, `e = bicubic(codes)`; where the
    /// sides are equal, `e` are the codes themselves. See [`Resize::bicubic`](crate::ops::Resize::bicubic)
    /// and [`Conv2d::conv2d`](crate::ops::Conv2d::conv2d).
    ///
    /// `latents`: `batch × to × to × channels`. `scratch`: as [`QuantizerStep::quantizer_step_scratch`] says; contents
    /// unspecified before and after.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`; on the CPU, if a token is past the codebook's end.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn quantizer_step(
        &self,
        latents: &mut Self::Slice,
        codes: Codes<'_, Self>,
        refinement: Phi<'_, Self>,
        change: Change,
        scratch: &mut Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

/// Lengths of a code map: its numbers, or the codebook's and how many tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CodesLengths {
    Map(usize),
    Tokens { codebook: usize, tokens: usize },
}

impl Dims {
    /// Floats of the latents.
    pub(crate) fn latents(self) -> usize {
        self.batch * self.to * self.to * self.channels
    }

    /// Cells of the code maps.
    pub(crate) fn cells(self) -> usize {
        self.batch * self.from * self.from
    }

    /// The sizes of φ.
    pub(crate) fn convolution(self) -> conv2d::Dims {
        let Self { batch, to, channels, .. } = self;
        conv2d::Dims {
            batch,
            height: to,
            width: to,
            inner: channels,
            outer: channels,
            kernel: [3; 2],
            grid: Grid::Same,
            into: None,
        }
    }

    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check(self, latents: usize, codes: CodesLengths, weight: usize, bias: usize) {
        let Self { from, to, channels, .. } = self;
        assert!(from > 0 && to > 0, "quantizer_step: from side {from} to side {to}");
        assert_eq!(
            latents,
            self.latents(),
            "quantizer_step: latents are not batch × to² × channels"
        );
        match codes {
            CodesLengths::Map(map) => {
                let wanted = self.cells() * channels;
                assert_eq!(map, wanted, "quantizer_step: the map is not batch × from² × channels");
            }
            CodesLengths::Tokens { codebook, tokens } => {
                assert_eq!(
                    tokens,
                    self.cells(),
                    "quantizer_step: there are not batch × from² tokens"
                );
                let whole = codebook.is_multiple_of(channels.max(1));
                assert!(whole, "quantizer_step: the codebook is not whole rows of {channels}");
            }
        }
        let wanted = 9 * channels * channels;
        assert_eq!(weight, wanted, "quantizer_step: weight is not channels × channels × 3 × 3");
        assert_eq!(bias, channels, "quantizer_step: bias is not one number a channel");
    }
}
