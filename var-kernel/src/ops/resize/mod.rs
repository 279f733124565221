//! Between token maps of different sides: bicubic up, area down.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
pub(super) mod tests;
pub mod weights;

use crate::memory::Device;

/// Sizes of a resize.
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Maps.
    pub batch: usize,
    /// Side of the input map.
    pub from: usize,
    /// Side of the output map.
    pub to: usize,
    /// Channels of a cell.
    pub channels: usize,
}

/// Changes of a square map's side.
pub trait Resize: Device {
    /// Enlarges by cubic convolution.
    ///
    /// Keys' kernel with a = −0.75 (Keys, "Cubic convolution interpolation for digital image
    /// processing", 1981), half-pixel centers, the border repeated, no antialiasing: PyTorch's
    /// `bicubic` with `align_corners=False`.
    ///
    /// `x`: `batch × from × from × channels`. `out`: `batch × to × to × channels`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn bicubic(&self, out: &mut Self::Slice, x: &Self::Slice, d: Dims) -> Result<(), Self::Error>;

    /// Shrinks by averaging: cell i of `to` is the mean of cells `⌊i·from/to⌋ .. ⌈(i+1)·from/to⌉`,
    /// both ways.
    ///
    /// `x`: `batch × from × from × channels`. `out`: `batch × to × to × channels`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn area(&self, out: &mut Self::Slice, x: &Self::Slice, d: Dims) -> Result<(), Self::Error>;
}

impl Dims {
    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check(self, out: usize, x: usize) {
        let Self { batch, from, to, channels } = self;
        assert!(from > 0 && to > 0, "resize: from side {from} to side {to}");
        assert_eq!(x, batch * from * from * channels, "resize: x is not batch × from² × channels");
        assert_eq!(out, batch * to * to * channels, "resize: out is not batch × to² × channels");
    }
}
