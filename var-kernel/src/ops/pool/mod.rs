//! The greatest or the mean of each window of a picture.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::memory::Device;
use crate::ops::Channels;

/// Sizes of a pooling.
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Pictures.
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

/// Poolings of square windows, channel by channel.
pub trait Pool: Device {
    /// The greatest of each window's cells.
    ///
    /// `out[y, x, c] = max_{dy, dx < kernel} input[stride·y+dy−padding, stride·x+dx−padding, c]` over
    /// the cells inside the picture; unspecified where one is NaN.
    ///
    /// `x`: `batch × height × width × channels`. `out`: `batch × out height × out width × into.of`;
    /// only its channels from `into.first` on are written.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, or a window would lie outside the picture.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn max_pool(&self, out: &mut Self::Slice, x: &Self::Slice, d: Dims) -> Result<(), Self::Error>;

    /// The mean of each window's cells inside the picture: padding is not counted.
    ///
    /// Operands as of [`Pool::max_pool`]. On the CPU cells are added row by row, then divided by
    /// their number.
    ///
    /// # Panics
    /// As [`Pool::max_pool`].
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn average_pool(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl Dims {
    /// Rows and columns of the output's grid: `⌊(n + 2·padding − kernel) / stride⌋ + 1`.
    ///
    /// # Panics
    /// If a window is larger than the padded picture or no larger than the padding, or the stride
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
    pub(crate) fn check(self, out: usize, x: usize) {
        let Self { batch, height, width, channels, into, .. } = self;
        into.check(channels);
        assert_eq!(
            x,
            batch * height * width * channels,
            "pool: x is not batch × height × width × channels"
        );
        assert_eq!(out, self.out_len(), "pool: out is not batch × height × width × channels");
    }
}
