//! The maximum or the mean of each window of an image.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
mod tests;

use core::ops::Range;

use crate::memory::Device;
use crate::ops::Channels;

/// Sizes of a pooling.
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Images.
    pub batch: usize,
    /// Rows of the input's grid.
    pub height: usize,
    /// Columns of the input's grid.
    pub width: usize,
    /// Channels of a cell of `x`.
    pub channels: usize,
    /// Side of the window.
    pub kernel: usize,
    /// Cells from one window to the next, both ways.
    pub stride: usize,
    /// Cells that windows reach over the edges, less than `kernel`; none of them counts.
    pub padding: usize,
    /// Which channels of a cell of `out` are written: `channels` of them.
    pub into: Channels,
}

/// The reduction of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The maximum; unspecified where one is NaN.
    Max,
    /// The mean of the cells inside the image: padding is not counted.
    Average,
}

/// Pooling of square windows, channel by channel.
pub trait Pool: Device {
    /// The maximum or the mean of each window's cells.
    ///
    /// `out[y, x, c] = max_{dy, dx < kernel} input[stride·y+dy−padding, stride·x+dx−padding, c]` over
    /// the cells inside the image, or their mean. On the CPU cells are added row by row, then divided by their
    /// number.
    ///
    /// `x`: `batch × height × width × channels`. `out`: `batch × out height × out width × into.of`;
    /// only its channels from `into.first` on are written.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, or a window would lie outside the image.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn pool(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        pooling: Pooling,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl Dims {
    /// Windows of 2 × 2 with stride 2; an odd last row or column is left out.
    pub fn halving(batch: usize, height: usize, width: usize, channels: usize) -> Self {
        let (kernel, stride, padding, into) = (2, 2, 0, Channels::all(channels));
        Self { batch, height, width, channels, kernel, stride, padding, into }
    }

    /// Whether windows are 2 × 2 with stride 2, and fill cells of `out`.
    pub(crate) fn is_halving(self) -> bool {
        let plain = [self.kernel, self.stride, self.padding] == [2, 2, 0];
        plain && self.into == Channels::all(self.channels)
    }

    /// Floats of the input.
    pub fn in_len(self) -> usize {
        self.batch * self.height * self.width * self.channels
    }

    /// The cells of the input along an axis of `side` under window `number`.
    #[inline(always)]
    pub fn window(self, number: usize, side: usize) -> Range<usize> {
        let start = number * self.stride;
        start.saturating_sub(self.padding)..(start + self.kernel - self.padding).min(side)
    }

    /// Rows and columns of the output's grid: `⌊(n + 2·padding − kernel) / stride⌋ + 1`.
    ///
    /// # Panics
    /// If a window is larger than the padded image or no larger than the padding, or the stride
    /// is 0.
    #[track_caller]
    pub fn out_grid(self) -> [usize; 2] {
        let Self { height, width, kernel, stride, padding, .. } = self;
        [height, width].map(|side| {
            let padded = side + 2 * padding;
            assert!(
                (padding + 1..=padded).contains(&kernel) && stride > 0,
                "pool: a window of {kernel} on {side} cells, padding {padding}, stride {stride}"
            );
            (padded - kernel) / stride + 1
        })
    }

    /// Floats of `out`.
    ///
    /// # Panics
    /// As [`Dims::out_grid`].
    #[track_caller]
    pub fn out_len(self) -> usize {
        let [height, width] = self.out_grid();
        self.batch * height * width * self.into.of
    }

    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub fn check(self, out: usize, x: usize) {
        self.into.check(self.channels);
        assert_eq!(x, self.in_len(), "pool: x is not batch × height × width × channels");
        assert_eq!(out, self.out_len(), "pool: out is not batch × height × width × channels");
    }
}
